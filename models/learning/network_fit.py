"""Training a network's own weights: from random ones, or from pretrained ones under a head that was fitted first."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from models.artifacts.records import EpochRecord
from models.data.draws import PlanSampler
from models.data.views import views_of
from models.learning.checkpoint import trunk_tensors
from models.learning.classifier import Classifier, Head, StagedTrunk, UpperStages, fitted_head, random_head
from models.learning.frozen import feature_store, fit_frozen
from models.learning.head import Layer
from models.learning.imbalance import ImbalancePlan
from models.learning.inputs import MapInputs, PixelInputs, TrainInputs
from models.learning.late import Chosen, HeadTrial, choose_head
from models.learning.lesson import Lesson
from models.learning.loss_choice import loss_of
from models.learning.losses import row_losses
from models.learning.map_store import staged_maps
from models.learning.optimiser import find_rate, make_optimiser
from models.learning.pixel_store import PixelStore
from models.learning.scoring import objective_of, tune_loss_of
from models.learning.trainer import Goal, Runtime, Trained, Trainer, outputs_of, precision
from models.learning.training_settings import FitSettings
from models.learning.training_state import FitPlan
from models.networks.registry import Build, Network, UprightTrunk

_PROBE_STEPS = 4
_FASTER = 1.15
_SAMPLED_ROWS = 2000
# Of the budget, what is left for export and for an epoch that takes longer than the first steps say.
_BUDGET_MARGIN = 0.9
_CPU_FROZEN_STAGES = 3


class NetworkFit(NamedTuple):
    """A trained network.

    Attributes:
        trunk: its tensors.
        train_features: (N, D) of up to 2,000 train rows as they are, and their positions.
    """

    layers: tuple[Layer, ...]
    trunk: dict[str, NDArray[np.generic]]
    chosen: Chosen
    epochs: tuple[EpochRecord, ...]
    notes: tuple[str, ...]
    train_features: NDArray[np.float32]
    train_positions: NDArray[np.int64]


class Case(NamedTuple):
    """A network to train on a lesson; `folder` is where pictures, features and maps are kept."""

    lesson: Lesson
    network: Network
    build: Build
    plan: ImbalancePlan
    folder: Path


def fit_network(case: Case, *, fine_tune: bool, runtime: Runtime) -> NetworkFit:
    """The network with the weights of its best epoch, and the correction that tune chose."""
    lesson, settings = case.lesson, case.lesson.settings.fit
    started = time.monotonic()
    trunk = case.network.build(case.build)
    stages = frozen_stages(trunk, settings, runtime.device) if fine_tune else 0
    inputs = _inputs(case, trunk, stages)
    head = _fitted_head(case) if fine_tune else _random_head(case, trunk)
    body = UpperStages(trunk, stages) if stages else UprightTrunk(trunk, case.build.channels)
    _freeze(trunk, stages)
    model = Classifier(body, head).to(runtime.device).to(memory_format=torch.channels_last)
    if settings.compiled:
        model.body.compile()
    if not fine_tune:
        settings = settings.model_copy(update={"layer_rate_decay": 1.0})
    goal = Goal(
        loss_of(lesson, case.plan, settings.label_smoothing),
        case.plan.deferred_share,
        lesson.draws,
        objective_of(lesson),
        tune_loss_of(lesson),
    )
    runtime = runtime._replace(budget_s=runtime.budget_s - (time.monotonic() - started))
    probe = _Probe(model, inputs, goal, settings, lesson.settings.seed, runtime, fine_tune)
    trained = Trainer(model, inputs, goal, settings, lesson.settings.seed, runtime).run(probe.plan)
    return _finished(case, model, inputs, trained, runtime.device)


def frozen_stages(trunk: nn.Module, settings: FitSettings, device: torch.device) -> int:
    """Lower stages that are computed once: what the settings say, or what pays, as far as the trunk allows it."""
    if not isinstance(trunk, StagedTrunk):
        return 0
    wanted = settings.frozen_stages
    if wanted < 0:
        wanted = _CPU_FROZEN_STAGES if device.type == "cpu" else 0
    return min(wanted, trunk.most_frozen_stages)


def _inputs(case: Case, trunk: nn.Module, stages: int) -> TrainInputs:
    lesson = case.lesson
    store = PixelStore(case.folder / "pixels", case.build.preprocess)
    train, tune = (store.pixels(sample.paths, sample.image_ids) for sample in (lesson.train, lesson.tune))
    if not stages:
        return PixelInputs(train, lesson.train.targets, tune, lesson.settings.augment)
    views = views_of(lesson.settings.augment.symmetries)
    folder = case.folder / "maps"
    return MapInputs(
        staged_maps(trunk, stages, case.build, train, lesson.train.image_ids, views, folder),
        lesson.train.targets,
        staged_maps(trunk, stages, case.build, tune, lesson.tune.image_ids, views[:1], folder),
    )


def _fitted_head(case: Case) -> Head:
    """The head of the frozen network: fine-tuning under a random one spoils features (arXiv 2202.10054)."""
    alone = case.lesson._replace(settings=case.lesson.settings.model_copy(update={"refit_on_tune": False}))
    fit = fit_frozen(alone, feature_store(case.network, case.build, case.folder), case.plan)
    dropouts = (case.lesson.settings.head.input_dropout, case.lesson.settings.head.hidden_dropout)
    return fitted_head(fit.chosen.head.layers, fit.train_features, dropouts)


def _freeze(trunk: nn.Module, stages: int) -> None:
    """Takes the lower stages of a staged trunk out of training."""
    if not stages:
        return
    upper = {id(p) for stage in list(trunk.stages)[stages:] for p in stage.parameters()}  # type: ignore[arg-type]
    for parameter in trunk.parameters():
        parameter.requires_grad_(id(parameter) in upper)


def _random_head(case: Case, trunk: nn.Module) -> Head:
    settings, build = case.lesson.settings, case.build
    with torch.inference_mode():
        width = int(trunk.eval()(torch.zeros(1, build.channels, build.size_px, build.size_px)).shape[1])
    return random_head(width, len(case.lesson.classes), settings.fit.dropout, settings.seed)


class _Probe(NamedTuple):
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
        name = self._precision(batch_rows)
        rate = self.settings.learning_rate or self._rate(batch_rows, name)
        step_s = self._step_s(batch_rows, name)
        steps = -(-self.goal.draws.rows_per_epoch // (batch_rows * self.runtime.world.size))
        left_s = self.runtime.budget_s * _BUDGET_MARGIN - (time.monotonic() - started)
        fitting = int(left_s / max(step_s * steps, 1e-9))
        plan = FitPlan(
            epochs=max(min(self.settings.epochs, fitting), 1), batch_rows=batch_rows, learning_rate=rate, precision=name
        )
        return FitPlan.model_validate_json(self.runtime.world.shared(plan.model_dump_json()))

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
        inputs, targets = self.inputs.draw(rows, random, self.runtime.device)
        self.model.train()
        with precision(name, self.runtime.device):
            logits = self.model(inputs)
        losses: torch.Tensor = row_losses(self.goal.loss, logits.float(), targets)
        return losses.mean()


def batch_rows_for(rows: int) -> int:
    """A power of two that gives an epoch some 50 steps, 8 to 64."""
    return int(np.clip(2 ** np.floor(np.log2(max(rows / 50, 1))), 8, 64))


def _finished(case: Case, model: Classifier, inputs: TrainInputs, trained: Trained, device: torch.device) -> NetworkFit:
    """The trained network with the correction that tune chose."""
    layers = model.head.as_layers()
    rng = np.random.default_rng(case.lesson.settings.seed)
    count = len(case.lesson.train.paths)
    sampled = np.sort(rng.permutation(count)[:_SAMPLED_ROWS])
    tune = outputs_of(model.body, lambda rows: inputs.tune(rows, device), np.arange(inputs.tune_rows))
    every = np.arange(count)
    trial = HeadTrial(
        case.lesson.settings.fit.weight_decay,
        layers,
        tune,
        lambda: outputs_of(model.body, lambda rows: inputs.plain(rows, device), every),
    )
    chosen = choose_head([trial], case.lesson, case.plan)
    train = outputs_of(model.body, lambda rows: inputs.plain(rows, device), sampled)
    trunk = trunk_tensors(model.body.get_submodule("trunk"))
    return NetworkFit(chosen.layers, trunk, chosen, trained.epochs, trained.notes, train, sampled)
