"""From a lesson to a checkpoint, by the way of learning that is asked for or that fits."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from models.artifacts.records import Correction, EpochRecord, ModelCard, PrivacyReport, SearchTrial
from models.errors import SettingsError
from models.interruption import stop_on_signal
from models.learning.calibrate import TuneRows, fit_calibration, require_possible
from models.learning.checkpoint import CalibrationRows, Checkpoint, trunk_tensors
from models.learning.choose import Choice, choose_learner
from models.learning.correction import log_offset
from models.learning.frozen import feature_store, fit_frozen, fit_private
from models.learning.head import Layer, head_logits
from models.learning.imbalance import plan_imbalance
from models.learning.late import Chosen
from models.learning.lesson import Lesson, train_shares
from models.learning.network_fit import Case, fit_network
from models.learning.private_head import require_private
from models.learning.progress import NOBODY, Hooks, OnEpoch
from models.learning.ranks import ALONE, World
from models.learning.scoring import objective_of
from models.learning.search import search_settings
from models.learning.trainer import Runtime
from models.learning.training_settings import TrainingSettings
from models.learning.training_state import forget_old_states
from models.networks.registry import Build, find_network
from models.parallel import no_progress, usable_cores
from models.version import __version__


class Subject(NamedTuple):
    """What a model is called, and the digest of the split that it learns from; both are written into its card."""

    name: str
    data_sha256: str


class Places(NamedTuple):
    """Where training keeps what it can use again: features, pixels and maps; and the states of unfinished trainings."""

    features_dir: Path
    states_dir: Path


class _Fitted(NamedTuple):
    layers: tuple[Layer, ...]
    trunk: dict[str, NDArray[np.generic]]
    chosen: Chosen
    prior: NDArray[np.float64]
    epochs: tuple[EpochRecord, ...]
    notes: tuple[str, ...]
    train_objective: float | None
    privacy: PrivacyReport | None = None


def fit_classifier(
    lesson: Lesson, subject: Subject, places: Places, hooks: Hooks = NOBODY, world: World = ALONE
) -> Checkpoint:
    """The checkpoint of a model.

    Args:
        lesson: rows and settings.
        subject: what the model is called, and what of.
        places: where intermediate results are kept.
        hooks: who is told of progress.
        world: the processes that train side by side.

    Raises:
        TrainingStopped: SIGTERM came; the state is saved, and the same call goes on from it.
        TrainingDiverged: the loss is not a number at any rate.
        SettingsError: a network, weights or a way of learning that do not go together.
    """
    settings = lesson.settings
    require_possible(settings.calibration, lesson.task)
    if settings.privacy.epsilon:
        require_private(lesson)
    network = find_network(settings.network, settings.weights)
    size_px = settings.size_px or network.size_px
    build = Build(settings.seed, size_px, settings.channels, settings.jpeg_scale)
    device = training_device()
    torch.set_num_threads(max(usable_cores() // world.size, 1))
    # cuBLAS gives equal results only in a workspace of fixed size, which it asks for before its first product.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    # Machines measure a little differently every time; what rank 0 finds holds for all.
    choice = Choice(*json.loads(world.shared(json.dumps(choose_learner(lesson, network, build, device)))))
    case = Case(lesson, network, build, plan_imbalance(settings.imbalance), places.features_dir)
    with stop_on_signal() as stop:
        runtime = Runtime(
            device, None, settings.time_budget_minutes * 60, stop, hooks.on_progress, hooks.on_epoch, world
        )
        log_path = places.states_dir / f"search-{_state_key(case, subject, world)}.json"
        case, trials, elapsed_s = _searched(case, choice, runtime, log_path)
        state = places.states_dir / f"{_state_key(case, subject, world)}.safetensors"
        runtime = runtime._replace(state_path=state, budget_s=runtime.budget_s - elapsed_s)
        fitted = _frozen(case, runtime) if choice.learner == "frozen" else _network(case, choice, runtime)
        forget_old_states(places.states_dir)
        log_path.unlink(missing_ok=True)
    calibration = CalibrationRows(_tune_logits(fitted.chosen).astype(np.float32), lesson.tune.targets)
    return Checkpoint(_card(case, subject, choice, trials, fitted), fitted.layers, fitted.trunk, calibration)


def training_device() -> torch.device:
    """The GPU of this process where there is one, else the CPU."""
    return torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")


def _searched(
    case: Case, choice: Choice, runtime: Runtime, log_path: Path
) -> tuple[Case, tuple[SearchTrial, ...], float]:
    """The case with the best settings of a search, its trials, and the seconds it took; as it is without a search."""
    settings = case.lesson.settings
    if not settings.search.trials:
        return case, (), 0.0
    if runtime.world.size > 1:
        raise SettingsError(
            f"training.search.trials={settings.search.trials} with {runtime.world.size} processes",
            "one process, since several would not agree on what fits into the time",
            "Set training.fit.processes=1 for the search, and take over what the report says of it.",
        )

    def try_settings(tried: TrainingSettings, budget_s: float, on_epoch: OnEpoch) -> float:
        runtime.stop.check()
        own = case._replace(lesson=case.lesson._replace(settings=tried.model_copy(update={"refit_on_tune": False})))
        apart = runtime._replace(budget_s=budget_s, on_step=no_progress, on_epoch=on_epoch)
        fitted = _frozen(own, apart) if choice.learner == "frozen" else _network(own, choice, apart)
        return fitted.chosen.trial.objective

    found = search_settings(settings, choice.learner, try_settings, log_path)
    return case._replace(lesson=case.lesson._replace(settings=found.settings)), found.trials, found.elapsed_s


def _frozen(case: Case, runtime: Runtime) -> _Fitted:
    lesson, stop = case.lesson, runtime.stop
    store = feature_store(case.network, case.build, case.folder)
    if lesson.settings.privacy.epsilon:
        private = fit_private(lesson, store, case.plan, stop.guarded(runtime.on_step))
        # What it says of training pictures would tell of them.
        return _Fitted(private.layers, {}, private.chosen, private.prior, (), (), None, private.privacy)
    fit = fit_frozen(lesson, store, case.plan, stop.guarded(runtime.on_step), stop.guarded())
    train = objective_of(lesson, lesson.train)(head_logits(fit.train_features, fit.chosen.layers) + fit.chosen.offset)
    # Weights that came with a package are there on every machine that trains; a file's are not.
    trunk = {} if not lesson.settings.weights else trunk_tensors(case.network.build(case.build))
    return _Fitted(fit.layers, trunk, fit.chosen, fit.prior, (), (), train)


def _network(case: Case, choice: Choice, runtime: Runtime) -> _Fitted:
    fit = fit_network(case, fine_tune=choice.learner == "fine_tune", runtime=runtime)
    train = case.lesson.train
    seen = train._replace(targets=train.targets[fit.train_positions])
    value = objective_of(case.lesson, seen)(head_logits(fit.train_features, fit.layers) + fit.chosen.offset)
    return _Fitted(fit.layers, fit.trunk, fit.chosen, fit.prior, fit.epochs, fit.notes, value)


def _state_key(case: Case, subject: Subject, world: World) -> str:
    """What a training is: who goes on from a state must mean the very same one."""
    lesson, network = case.lesson, case.network
    draws = hashlib.sha256(b"".join(part.tobytes() for part in lesson.draws[:2])).hexdigest()
    # A student learns from its teacher's answers.
    targets = hashlib.sha256(np.ascontiguousarray(lesson.train.targets).tobytes()).hexdigest()
    digest = network.weights.digest if network.weights else ""
    parts = (
        lesson.settings.model_dump_json(),
        subject.data_sha256,
        draws,
        targets,
        network.name,
        digest,
        str(world.size),
        __version__,
    )
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:24]


def _tune_logits(chosen: Chosen) -> NDArray[np.float64]:
    """(N, K) of the first training where there were two: it had not learned from tune."""
    return head_logits(chosen.head.tune_features, chosen.layers)


def _card(case: Case, subject: Subject, choice: Choice, trials: tuple[SearchTrial, ...], fitted: _Fitted) -> ModelCard:
    lesson, network, chosen = case.lesson, case.network, fitted.chosen
    # A head that was fitted once more has seen other shares.
    is_adjusted = chosen.trial.correction == "logit_adjustment"
    offset = log_offset(fitted.prior, chosen.trial.correction_strength) if is_adjusted else chosen.offset
    tune = TuneRows(_tune_logits(chosen), chosen.offset, lesson.tune.targets, lesson.task, objective_of(lesson))
    return ModelCard(
        name=subject.name,
        task=lesson.task,
        learner=choice.learner,
        learner_reason=choice.reason,
        network=network.name,
        channels=lesson.settings.channels,
        classes=lesson.classes,
        preprocess=case.build.preprocess,
        correction=Correction(
            objective_name=lesson.settings.objective,
            imbalance=lesson.settings.imbalance,
            name=chosen.trial.correction,
            regularisation=chosen.trial.regularisation,
            strength=chosen.trial.correction_strength,
            log_offset=tuple(map(float, offset)),
            trials=chosen.trials,
        ),
        calibration=fit_calibration(tune, lesson.settings.calibration),
        epochs=fitted.epochs,
        notes=fitted.notes,
        privacy=fitted.privacy,
        exclusion=lesson.exclusion,
        search=trials,
        train_objective=fitted.train_objective,
        tune_objective=chosen.trial.objective,
        train_prior=train_shares(lesson),
        effective_prior=tuple(map(float, fitted.prior)),
        split=lesson.split,
        train_rows=len(lesson.train.paths),
        tune_rows=len(lesson.tune.paths),
        data_sha256=subject.data_sha256,
        training_sha256=hashlib.sha256(lesson.settings.model_dump_json().encode()).hexdigest(),
        weights_source=network.weights.source if network.weights else "trained from scratch",
        weights_licence=network.weights.licence if network.weights else "the owner's",
        weights_digest=network.weights.digest if network.weights else "",
        sortline_version=__version__,
    )
