"""What is found out about a machine before training: batch, rate, precision, and how many epochs the time allows."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from models.data.draws import PlanSampler
from models.learning.classifier import Classifier
from models.learning.inputs import TrainInputs
from models.learning.losses import row_losses
from models.learning.optimiser import find_rate, make_optimiser
from models.learning.passes import fewer_rows, precision
from models.learning.trainer import Goal, Runtime
from models.learning.training_settings import FitSettings
from models.learning.training_state import FitPlan

# Of the budget, what is left for export and for an epoch that takes longer than the first steps say.
BUDGET_MARGIN = 0.9
_PROBE_STEPS = 4
_FASTER = 1.15


class Probe(NamedTuple):
    """What is found out before training: batch, rate, precision, and how many epochs the time allows."""

    model: Classifier
    inputs: TrainInputs
    goal: Goal
    settings: FitSettings
    seed: int
    runtime: Runtime
    fine_tune: bool

    def plan(self) -> FitPlan:
        """The plan of this training on this machine; every rank takes that of rank 0."""
        started = time.monotonic()
        batch_rows = self.settings.batch_rows or batch_rows_for(self.goal.draws.rows_per_epoch)
        name, rate, step_s = self._measured(batch_rows)
        steps = -(-self.goal.draws.rows_per_epoch // (batch_rows * self.runtime.world.size))
        left_s = self.runtime.budget_s * BUDGET_MARGIN - (time.monotonic() - started)
        fitting = int(left_s / max(step_s * steps, 1e-9))
        plan = FitPlan(
            epochs=max(min(self.settings.epochs, fitting), 1), batch_rows=batch_rows, learning_rate=rate, precision=name
        )
        return FitPlan.model_validate_json(self.runtime.world.shared(plan.model_dump_json()))

    def _measured(self, batch_rows: int) -> tuple[str, float, float]:
        """Precision, highest rate, and seconds of a step, by as many rows at once as memory holds."""
        before = {key: value.clone() for key, value in self.model.state_dict().items()}
        rows = batch_rows
        while True:
            try:
                name = self._precision(rows)
                rate = self.settings.learning_rate or self._rate(rows, name)
                return name, rate, self._step_s(rows, name) * batch_rows / rows
            except (MemoryError, RuntimeError) as error:
                self.model.zero_grad(set_to_none=True)
                rows = fewer_rows(rows, error)
            self.model.load_state_dict(before)

    def _rate(self, batch_rows: int, name: str) -> float:
        """Pretrained weights move at a tenth of what random ones stand."""
        rate = find_rate(self.model, self._optimiser, self._losses(batch_rows, name))
        return rate / 10 if self.fine_tune else rate

    def _precision(self, batch_rows: int) -> str:
        device = self.runtime.device
        if self.settings.mixed_precision == "off":
            return "float32"
        if device.type == "cuda":
            return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
        faster = self._step_s(batch_rows, "float32") / self._step_s(batch_rows, "bfloat16")
        return "bfloat16" if faster >= _FASTER else "float32"

    def _step_s(self, batch_rows: int, name: str) -> float:
        """Seconds of one step, the first aside; the model is left as it was."""
        before = {key: value.clone() for key, value in self.model.state_dict().items()}
        optimiser, taken = self._optimiser(0.0), []
        for _, loss_of_batch in zip(range(_PROBE_STEPS), self._losses(batch_rows, name), strict=False):
            started = time.monotonic()
            optimiser.zero_grad(set_to_none=True)
            loss_of_batch().backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            if self.runtime.device.type == "cuda":
                torch.cuda.synchronize()
            taken.append(time.monotonic() - started)
        self.model.load_state_dict(before)
        return float(np.median(taken[1:] or taken))

    def _optimiser(self, rate: float) -> torch.optim.AdamW:
        return make_optimiser(self.model, rate, self.settings.weight_decay, self.settings.layer_rate_decay)

    def _losses(self, batch_rows: int, name: str) -> Iterator[Callable[[], torch.Tensor]]:
        """Without end: functions that give the loss of one drawn batch."""
        random = torch.Generator().manual_seed(self.seed)
        sampler = PlanSampler(self.goal.draws, self.seed, 1)
        torch.manual_seed(self.seed)
        while True:
            rows = sampler.positions()
            for start in range(0, len(rows), batch_rows):
                yield lambda part=rows[start : start + batch_rows]: self._loss(part, random, name)  # type: ignore[misc]

    def _loss(self, rows: NDArray[np.int64], random: torch.Generator, name: str) -> torch.Tensor:
        self.runtime.stop.check()
        inputs, targets = self.inputs.draw(rows, random, self.runtime.device)
        self.model.train()
        with precision(name, self.runtime.device):
            logits = self.model(inputs)
        losses: torch.Tensor = row_losses(self.goal.loss, logits.float(), targets)
        return losses.mean()


def batch_rows_for(rows: int) -> int:
    """A power of two that gives an epoch some 50 steps, 8 to 64."""
    return int(np.clip(2 ** np.floor(np.log2(max(rows / 50, 1))), 8, 64))
