"""Training a network's own weights: from random ones, or from pretrained ones under a head that was fitted first."""

from __future__ import annotations

import copy
import json
import math
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from models.artifacts.records import EpochRecord
from models.data.views import views_of
from models.interruption import StopRequest
from models.learning.checkpoint import trunk_tensors
from models.learning.classifier import Classifier, Head, StagedTrunk, UpperStages, fitted_head, random_head
from models.learning.correction import log_offset
from models.learning.frozen import feature_store, fit_frozen
from models.learning.head import Layer
from models.learning.imbalance import ImbalancePlan
from models.learning.inputs import MapInputs, PixelInputs, Rows, TrainInputs
from models.learning.late import Chosen, HeadTrial, again, choose_head, expected_strength
from models.learning.lesson import Lesson, with_tune
from models.learning.loss_choice import loss_of
from models.learning.map_store import staged_maps
from models.learning.passes import outputs_of
from models.learning.pixel_store import PixelStore
from models.learning.probe import BUDGET_MARGIN, Probe
from models.learning.progress import kept_epoch, no_epochs
from models.learning.scoring import objective_error_of, objective_of, tune_loss_of
from models.learning.trainer import Goal, Runtime, Trained, Trainer
from models.learning.training_settings import FitSettings
from models.networks.registry import Build, Network, UprightTrunk

_SAMPLED_ROWS = 2000
# Equal on all machines. Of 1,575 solar cells, the whole network learned less (macro-F1 0.56, not 0.62; on a GPU).
_FROZEN_STAGES = 3


class NetworkFit(NamedTuple):
    """A trained network.

    Attributes:
        trunk: its tensors.
        prior: (K,) effective prior of what it has seen.
        train_features: (N, D) of up to 2,000 train rows as they are, and their positions.
    """

    layers: tuple[Layer, ...]
    trunk: dict[str, NDArray[np.generic]]
    chosen: Chosen
    prior: NDArray[np.float64]
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
    """The network with the weights of a good epoch, and the correction that tune chose.

    Where the time allows it, all is then done once more with the tune pictures too, for as many epochs as were good:
    what rare classes have is mostly missing from train.
    """
    started = time.monotonic()
    course = _course(case, runtime, fine_tune=fine_tune)
    runtime = runtime._replace(budget_s=runtime.budget_s - (time.monotonic() - started))
    model, goal = course.model(), _goal(case)
    probe = Probe(model, course.inputs, goal, course.settings, case.lesson.settings.seed, runtime, fine_tune)
    trained = Trainer(model, course.inputs, goal, course.settings, case.lesson.settings.seed, runtime).run(probe.plan)
    fit = _finished(case, model, course.inputs, trained, runtime.device)
    path = runtime.state_path.with_suffix(".refit.safetensors") if runtime.state_path else None
    if not _refit_pays(case, trained, runtime, path):
        return fit
    return _refitted(course, fit, trained, runtime._replace(state_path=path, budget_s=math.inf, on_epoch=no_epochs))


class _Course(NamedTuple):
    """What both trainings of a case begin with: inputs, stages that stay as they are, and the head."""

    case: Case
    inputs: PixelInputs | MapInputs
    stages: int
    head: Head
    settings: FitSettings
    device: torch.device
    fine_tune: bool

    def model(self) -> Classifier:
        """The network as it is before training."""
        build, stages = self.case.build, self.stages
        trunk = self.case.network.build(build)
        _freeze(trunk, stages)
        body = UpperStages(trunk, stages) if stages else UprightTrunk(trunk, build.channels)
        model = Classifier(body, copy.deepcopy(self.head), keeps_statistics=self.fine_tune)
        if self.settings.compiled:
            model.body.compile()
        return model.to(self.device).to(memory_format=torch.channels_last)


def _course(case: Case, runtime: Runtime, *, fine_tune: bool) -> _Course:
    settings, trunk = case.lesson.settings.fit, case.network.build(case.build)
    stages = frozen_stages(trunk, settings) if fine_tune else 0
    inputs = _inputs(case, trunk, stages, runtime.stop)
    head = _fitted_head(case, runtime.stop) if fine_tune else _random_head(case, trunk)
    if not fine_tune:
        settings = settings.model_copy(update={"layer_rate_decay": 1.0})
    return _Course(case, inputs, stages, head, settings, runtime.device, fine_tune)


def _goal(case: Case) -> Goal:
    lesson, offset = case.lesson, _likely_offset(case.lesson, case.plan)
    score, error = objective_of(lesson), objective_error_of(lesson)
    return Goal(
        loss_of(lesson, case.plan, lesson.settings.fit.label_smoothing),
        case.plan.deferred_share,
        lesson.draws,
        lambda logits: score(logits + offset),
        tune_loss_of(lesson),
        lambda logits: error(logits + offset),
    )


def _refit_pays(case: Case, trained: Trained, runtime: Runtime, path: Path | None) -> bool:
    """Whether a training with the tune pictures is wanted and fits into the time, or was begun."""
    lesson, epochs = case.lesson, trained.epochs
    if not lesson.settings.refit_on_tune or case.plan.late == "crt":
        return False
    share = (kept_epoch(epochs) + 1) / len(epochs) * (1 + len(lesson.tune.paths) / len(lesson.train.paths))
    fits = trained.elapsed_s * (1 + share) <= runtime.budget_s * BUDGET_MARGIN
    is_begun = path is not None and path.is_file()
    return bool(json.loads(runtime.world.shared(json.dumps(fits or is_begun))))


def _refitted(course: _Course, fit: NetworkFit, trained: Trained, runtime: Runtime) -> NetworkFit:
    """The network trained on train and tune as it was on train; what tune chose stays chosen."""
    case = course.case._replace(lesson=with_tune(course.case.lesson))
    inputs, model = course.inputs.with_tune(case.lesson.train.targets), course.model()
    plan = trained.plan.model_copy(update={"last_epoch": kept_epoch(trained.epochs)})
    trainer = Trainer(model, inputs, _goal(case), course.settings, case.lesson.settings.seed, runtime)
    notes = trainer.run(lambda: plan).notes
    said = f"trained once more on train and tune, {kept_epoch(trained.epochs) + 1} epochs"
    return fit._replace(
        layers=again(fit.chosen, model.head.as_layers()),
        trunk=trunk_tensors(model.body.get_submodule("trunk")),
        prior=case.lesson.prior,
        notes=(*fit.notes, said, *notes),
        train_features=_plain_features(model, inputs, fit.train_positions, runtime.device),
    )


def _likely_offset(lesson: Lesson, plan: ImbalancePlan) -> NDArray[np.float64]:
    """(K,) what is likely to be added to the logits in the end; epochs are compared with it."""
    # What tau_norm does to the weights is no offset.
    return log_offset(lesson.prior, expected_strength(lesson, plan) if plan.late == "none" else 0.0)


def frozen_stages(trunk: nn.Module, settings: FitSettings) -> int:
    """Lower stages that are computed once: what the settings say, or what pays, as far as the trunk allows it."""
    if not isinstance(trunk, StagedTrunk):
        return 0
    wanted = _FROZEN_STAGES if settings.frozen_stages < 0 else settings.frozen_stages
    return min(wanted, trunk.most_frozen_stages)


def _inputs(case: Case, trunk: nn.Module, stages: int, stop: StopRequest) -> PixelInputs | MapInputs:
    lesson, guard = case.lesson, stop.guarded()
    store = PixelStore(case.folder / "pixels", case.build.preprocess)
    train, tune = (store.pixels(sample.paths, sample.image_ids, guard) for sample in (lesson.train, lesson.tune))
    if not stages:
        return PixelInputs(Rows((train[None],)), lesson.train.targets, Rows((tune[None],)), lesson.settings.augment)
    views, folder = views_of(lesson.settings.augment.symmetries), case.folder / "maps"
    seen = views if lesson.settings.refit_on_tune else views[:1]
    return MapInputs(
        Rows((staged_maps(trunk, stages, case.build, train, lesson.train.image_ids, views, folder, guard),)),
        lesson.train.targets,
        Rows((staged_maps(trunk, stages, case.build, tune, lesson.tune.image_ids, seen, folder, guard),)),
    )


def _fitted_head(case: Case, stop: StopRequest) -> Head:
    """The head of the frozen network: fine-tuning under a random one spoils features (arXiv 2202.10054)."""
    alone = case.lesson._replace(settings=case.lesson.settings.model_copy(update={"refit_on_tune": False}))
    store, guard = feature_store(case.network, case.build, case.folder), stop.guarded()
    fit = fit_frozen(alone, store, case.plan, guard, guard)
    dropouts = (case.lesson.settings.head.input_dropout, case.lesson.settings.head.hidden_dropout)
    layers = fit.chosen.head.layers
    return fitted_head(layers, fit.train_features, dropouts[: len(layers)])


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
        lambda: _plain_features(model, inputs, every, device),
    )
    chosen = choose_head([trial], case.lesson, case.plan)
    train = _plain_features(model, inputs, sampled, device)
    trunk = trunk_tensors(model.body.get_submodule("trunk"))
    return NetworkFit(chosen.layers, trunk, chosen, case.lesson.prior, trained.epochs, trained.notes, train, sampled)


def _plain_features(
    model: Classifier, inputs: TrainInputs, rows: NDArray[np.int64], device: torch.device
) -> NDArray[np.float32]:
    """(N, D) embeddings of train rows as they are."""
    return outputs_of(model.body, lambda part: inputs.plain(part, device), rows)
