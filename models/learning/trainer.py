"""The training loop: drawn by the plan, a good epoch kept, interrupted at any step and resumed to the same weights.

All randomness of a step comes from (seed, epoch, step, rank), so a state holds no generator: whoever repeats a step
draws what was drawn.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from models.artifacts.records import EpochRecord
from models.data.draws import DrawWeights, PlanSampler
from models.errors import TrainingDiverged, TrainingStopped
from models.interruption import StopRequest
from models.learning.attacks import fast_adversarial, random_change, require_pixels
from models.learning.classifier import Classifier
from models.learning.inputs import MapInputs, TrainInputs
from models.learning.losses import LossSettings, row_losses
from models.learning.optimiser import make_optimiser, rate_share, set_rate, update_average
from models.learning.passes import fewer_rows, outputs_of, precision
from models.learning.progress import EpochProgress, OnEpoch, kept_epoch
from models.learning.ranks import ALONE, World
from models.learning.training_settings import FitSettings
from models.learning.training_state import (
    FitPlan,
    Place,
    TrainingState,
    behind_prefix,
    load_state,
    optimiser_tensors,
    restore_optimiser,
    save_state,
    with_prefix,
)

Floats = NDArray[np.float64]
_LEAST_RATE_FACTOR = 0.1


class Goal(NamedTuple):
    """What training works towards.

    Attributes:
        deferred_share: share of the steps before class weights count.
        score: value of (N, K) tune logits, higher is better.
        tune_loss: of the same logits.
        error: standard error of the score.
    """

    loss: LossSettings
    deferred_share: float
    draws: DrawWeights
    score: Callable[[Floats], float]
    tune_loss: Callable[[Floats], float]
    error: Callable[[Floats], float]


class Runtime(NamedTuple):
    """Where and how long it runs.

    Attributes:
        state_path: where the state is saved; None keeps none.
        budget_s: seconds that training may take in all, those before an interruption too.
        on_step: called with steps done and planned.
    """

    device: torch.device
    state_path: Path | None
    budget_s: float
    stop: StopRequest
    on_step: Callable[[int, int], None]
    on_epoch: OnEpoch
    world: World = ALONE


class Trained(NamedTuple):
    """What is told of a training; the weights of the epoch that is kept are in the model."""

    epochs: tuple[EpochRecord, ...]
    notes: tuple[str, ...]
    plan: FitPlan
    elapsed_s: float


class Trainer:
    """One training of one model; `run` may be called once."""

    def __init__(
        self, model: Classifier, inputs: TrainInputs, goal: Goal, settings: FitSettings, seed: int, runtime: Runtime
    ) -> None:
        if isinstance(inputs, MapInputs):
            require_pixels(settings.adversarial_eps, "the maps of frozen stages are computed once")
        self._model, self._inputs, self._goal = model, inputs, goal
        self._settings, self._seed, self._runtime = settings, seed, runtime
        self._stepper: nn.Module = model

    def run(self, make_plan: Callable[[], FitPlan]) -> Trained:
        """Trains to the end, from a saved state where there is one.

        Args:
            make_plan: called where training starts anew.

        Raises:
            TrainingStopped: somebody asked it to; the state is saved.
            TrainingDiverged: the loss is not a number at any rate.
            MachineError: not one picture at a time fits into memory.
        """
        saved = load_state(self._runtime.state_path) if self._runtime.state_path else None
        self._place = saved.place if saved else Place(plan=make_plan())
        plan = self._place.plan
        self._optimiser = make_optimiser(
            self._model, plan.learning_rate, self._settings.weight_decay, self._settings.layer_rate_decay
        )
        self._average = {name: value.clone() for name, value in self._model.state_dict().items()}
        self._best: dict[str, torch.Tensor] = {}
        self._epoch_start = saved.start if saved else None
        if saved:
            self._restore(saved)
        self._sampler = PlanSampler(
            self._goal.draws, self._seed, plan.epochs, self._runtime.world.rank, self._runtime.world.size
        )
        self._steps = max(-(-len(self._sampler) // plan.batch_rows), 1)
        self._stepper = self._runtime.world.wrapped(self._model)
        self._saved_at = time.monotonic()
        self._started = self._saved_at - self._place.elapsed_s
        while not self._place.is_over:
            self._run_epoch()
        self._model.load_state_dict(self._best)
        return Trained(tuple(self._place.epochs), tuple(self._place.notes), plan, self._place.elapsed_s)

    def _run_epoch(self) -> None:
        place = self._place
        self._sampler.set_epoch(place.epoch)
        batches = np.array_split(self._sampler.positions(), self._steps)
        started, first = time.monotonic(), place.step
        if not place.step:
            self._epoch_start = None
            self._epoch_start = self._state().copied()
        while place.step < self._steps:
            loss = self._step_in_memory(batches[place.step])
            if not math.isfinite(self._runtime.world.mean(loss)):
                self._start_epoch_over()
                return
            place.losses.append(loss)
            place.step += 1
            self._runtime.on_step(place.epoch * self._steps + place.step, place.plan.epochs * self._steps)
            self._save_where_due()
        drawn = sum(map(len, batches[first:])) * self._runtime.world.size
        self._end_epoch(drawn / max(time.monotonic() - started, 1e-9))

    def _step_in_memory(self, rows: NDArray[np.int64]) -> float:
        """Loss of one step; where memory runs out, fewer rows go through at once."""
        place = self._place
        while True:
            try:
                return self._step(rows, place.micro_rows or len(rows))
            except (MemoryError, RuntimeError) as error:
                self._optimiser.zero_grad(set_to_none=True)
                place.micro_rows = fewer_rows(place.micro_rows or len(rows), error)
            place.notes.append(
                f"memory ran out in epoch {place.epoch}: {place.micro_rows} pictures at once from then on"
            )

    def _step(self, rows: NDArray[np.int64], micro_rows: int) -> float:
        place, plan = self._place, self._place.plan
        world = self._runtime.world
        seed = int(np.random.SeedSequence([self._seed, place.epoch, place.step, world.rank]).generate_state(1)[0])
        torch.manual_seed(seed)  # dropout draws from the global generator
        random = torch.Generator().manual_seed(seed)
        inputs, targets = self._inputs.draw(rows, random, self._runtime.device)
        eps = self._settings.adversarial_eps
        # Of all rows, so that it is the same however many go through at once.
        changes = random_change(inputs, eps, random) if eps else inputs
        number, total = place.epoch * self._steps + place.step, plan.epochs * self._steps
        share = rate_share(number, total, self._settings.warmup_share)
        set_rate(self._optimiser, plan.learning_rate * place.rate_factor * share)
        self._stepper.train()
        self._optimiser.zero_grad(set_to_none=True)
        is_deferred_over = number >= self._goal.deferred_share * total
        summed = 0.0
        parts = (torch.split(whole, micro_rows) for whole in (inputs, changes, targets))
        for plain, change, wanted in zip(*parts, strict=True):
            part = self._attacked(plain, change, wanted, is_deferred_over=is_deferred_over) if eps else plain
            with precision(plan.precision, self._runtime.device):
                logits = self._stepper(part)
            losses = row_losses(self._goal.loss, logits.float(), wanted, is_deferred_over=is_deferred_over)
            loss = losses.sum() / len(inputs)
            loss.backward()  # type: ignore[no-untyped-call]
            summed += float(loss.detach())
            place.right += float((logits.argmax(1) == wanted.argmax(1)).sum())
            place.seen += len(part)
        if math.isfinite(world.mean(summed)):
            self._optimiser.step()
            if self._settings.ema_decay:
                update_average(self._average, self._model, self._settings.ema_decay, number)
        return summed

    def _attacked(
        self, pixels: torch.Tensor, change: torch.Tensor, wanted: torch.Tensor, *, is_deferred_over: bool
    ) -> torch.Tensor:
        """The same pictures changed so that the loss of the model as it is grows."""

        def loss_of(changed: torch.Tensor) -> torch.Tensor:
            # Not the wrapped model: between processes there is nothing to share yet.
            with precision(self._place.plan.precision, self._runtime.device):
                logits = self._model(changed)
            return row_losses(self._goal.loss, logits.float(), wanted, is_deferred_over=is_deferred_over).sum()

        return fast_adversarial(loss_of, pixels, change, self._settings.adversarial_eps)

    def _end_epoch(self, images_per_s: float) -> None:
        place = self._place
        kept = self._average if self._settings.ema_decay else self._model.state_dict()
        try:
            logits = self._tune_logits(kept)
        except TrainingStopped:
            self._save_where_due()
            raise
        record = EpochRecord(
            epoch=place.epoch,
            train_loss=float(np.mean(place.losses)),
            train_accuracy=place.right / max(place.seen, 1),
            tune_loss=self._goal.tune_loss(logits),
            tune_objective=self._goal.score(logits),
            tune_error=self._goal.error(logits),
        )
        place.epochs.append(record)
        if kept_epoch(place.epochs) == record.epoch or place.plan.last_epoch is not None:
            self._best = {name: value.clone() for name, value in kept.items()}
        place.epoch, place.step, place.losses, place.right, place.seen = place.epoch + 1, 0, [], 0, 0
        elapsed = self._elapsed()
        left = elapsed / place.epoch * (place.plan.epochs - place.epoch)
        # Both are asked of all ranks, whatever the first says.
        is_patience_over, is_time_over = self._is_patience_over(), self._is_time_over(elapsed)
        place.is_over = place.epoch >= place.plan.epochs or is_patience_over or is_time_over
        if place.plan.last_epoch is not None:
            place.is_over = record.epoch >= place.plan.last_epoch
        place.elapsed_s = elapsed
        self._runtime.on_epoch(
            EpochProgress(
                record=record,
                epochs=place.plan.epochs,
                images_per_s=images_per_s,
                seconds_left=0.0 if place.is_over else left,
            )
        )
        self._save_where_due(force=place.is_over)

    def _is_patience_over(self) -> bool:
        """Whether tune has been clearly worse for long, on any rank: their averages of batches differ a little."""
        epochs = self._place.epochs
        is_over = len(epochs) - 1 - kept_epoch(epochs) >= self._settings.patience
        return self._runtime.world.mean(float(is_over)) > 0

    def _is_time_over(self, elapsed: float) -> bool:
        """Whether another epoch would end behind the budget, on any rank."""
        place = self._place
        is_over = elapsed + elapsed / place.epoch > self._runtime.budget_s and place.epoch < place.plan.epochs
        if is_over := self._runtime.world.mean(float(is_over)) > 0:
            place.notes.append(f"the time budget ended training after epoch {place.epoch} of {place.plan.epochs}")
        return is_over

    def _start_epoch_over(self) -> None:
        """Goes back to the start of the epoch with half the rate."""
        before, factor = self._epoch_start or self._state(), self._place.rate_factor / 2
        if factor < _LEAST_RATE_FACTOR:
            raise TrainingDiverged(
                f"the loss is not a number in epoch {before.place.epoch}, at a rate of "
                f"{self._place.plan.learning_rate * self._place.rate_factor:.1e} too",
                "numbers",
                "Set training.fit.learning_rate lower, or look at the pictures of that folder.",
            )
        self._place = before.place.model_copy(deep=True)
        self._place.rate_factor = factor
        self._place.notes.append(f"the loss was not a number in epoch {before.place.epoch}: the rate was halved")
        self._restore(TrainingState(self._place, before.tensors))

    def _state(self) -> TrainingState:
        """Where it is, as it is: what trains on changes it."""
        tensors = {
            **with_prefix("model.", self._model.state_dict()),
            **with_prefix("average.", self._average if self._settings.ema_decay else {}),
            **with_prefix("best.", self._best),
            **with_prefix("optimiser.", optimiser_tensors(self._optimiser)),
        }
        return TrainingState(self._place, tensors, self._epoch_start if self._place.step else None)

    def _restore(self, state: TrainingState) -> None:
        self._model.load_state_dict(behind_prefix("model.", state.tensors))
        restore_optimiser(self._optimiser, behind_prefix("optimiser.", state.tensors))
        device = self._runtime.device
        self._best = {name: value.to(device) for name, value in behind_prefix("best.", state.tensors).items()}
        for name, value in behind_prefix("average.", state.tensors).items():
            self._average[name].copy_(value)

    def _save_where_due(self, *, force: bool = False) -> None:
        """Saves the state once in a while, at the end, and when asked to stop."""
        path, now = self._runtime.state_path, time.monotonic()
        wants_stop = self._runtime.world.mean(float(self._runtime.stop.is_made)) > 0
        if path is None and not wants_stop:
            return
        is_due = now - self._saved_at >= self._settings.checkpoint_seconds
        if path is not None and (force or wants_stop or is_due) and self._runtime.world.rank == 0:
            self._place.elapsed_s = self._elapsed()
            save_state(path, self._state())
            self._saved_at = now
        if wants_stop and not self._place.is_over:
            raise TrainingStopped(
                f"training was asked to stop in epoch {self._place.epoch}, and its state is saved",
                "it to go on some time",
                "Run the same command again: it goes on from there.",
            )

    def _elapsed(self) -> float:
        return time.monotonic() - self._started

    def _tune_logits(self, tensors: dict[str, torch.Tensor]) -> Floats:
        """(N, K) logits of tune by those weights of the model."""
        own = {name: value.clone() for name, value in self._model.state_dict().items()}
        self._model.load_state_dict(tensors)
        try:
            return outputs_of(self._model, self._tune_inputs, np.arange(self._inputs.tune_rows)).astype(np.float64)
        finally:
            self._model.load_state_dict(own)

    def _tune_inputs(self, rows: NDArray[np.int64]) -> torch.Tensor:
        # One of several ranks must not leave the others waiting.
        if self._runtime.world.size == 1:
            self._runtime.stop.check()
        return self._inputs.tune(rows, self._runtime.device)
