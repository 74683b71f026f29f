"""A small search for better settings of training: judged on tune, inside a share of the time budget.

The settings as they are come first, so that a search never ends with less on tune than it began with. What is found
has been chosen among N by tune, whose value is the better for it; the test split is not asked.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from models.artifacts.durable import write_durably
from models.artifacts.records import SearchTrial
from models.errors import ArtifactMissing, TrainingDiverged
from models.learning.progress import EpochProgress, OnEpoch
from models.learning.training_settings import Learner, TrainingSettings

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution

# Trials before others are drawn near the good ones, and before the worse half of them is stopped early.
_STARTUP_TRIALS = 5
_STARTUP_PRUNES = 3
_WARMUP_EPOCHS = 1

# What tune says of settings: trained for so many seconds at most, telling of every epoch.
TrySettings = Callable[[TrainingSettings, float, OnEpoch], float]


class SearchLog(BaseModel):
    """What a search has done, kept beside the states of trainings so that it can go on."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")

    trials: tuple[SearchTrial, ...] = ()
    elapsed_s: float = 0.0


class Found(NamedTuple):
    """The settings to train with, every trial, and the seconds that are gone."""

    settings: TrainingSettings
    trials: tuple[SearchTrial, ...]
    elapsed_s: float


class _StoppedEarly(Exception):
    """A trial is worse than the median of those before it."""


def search_settings(settings: TrainingSettings, learner: Learner, try_settings: TrySettings, log_path: Path) -> Found:
    """The best of the settings as they are and others near them.

    Equal seeds try equal settings, also after an interruption; how many fit into the time is the machine's affair.

    Args:
        settings: `search` says how many trainings, and for what share of the time budget.
        learner: which settings matter.
        try_settings: trains once.
        log_path: where trials are kept.

    Raises:
        ArtifactMissing: Optuna is not installed.
    """
    wanted, budget_s = settings.search.trials, settings.time_budget_minutes * 60 * settings.search.budget_share
    log = _read_log(log_path)
    while len(log.trials) < wanted and _fits_another(log, budget_s):
        started = time.monotonic()
        trial = _one_trial(settings, learner, try_settings, log.trials, budget_s / wanted)
        log = SearchLog(trials=(*log.trials, trial), elapsed_s=log.elapsed_s + time.monotonic() - started)
        write_durably(log_path, log.model_dump_json().encode())
    judged = [trial for trial in log.trials if trial.outcome == "judged"]
    best = max(judged, key=lambda trial: trial.objective or 0.0, default=None)
    return Found(with_values(settings, best.values if best else {}), log.trials, log.elapsed_s)


def with_values(settings: TrainingSettings, values: dict[str, float | str]) -> TrainingSettings:
    """Settings with other values under names such as `fit.weight_decay`."""
    changed = settings.model_dump()
    for name, value in values.items():
        group, _, key = name.partition(".")
        changed[group] = {**changed[group], key: value}
    return TrainingSettings.model_validate(changed)


def _one_trial(
    settings: TrainingSettings,
    learner: Learner,
    try_settings: TrySettings,
    before: tuple[SearchTrial, ...],
    budget_s: float,
) -> SearchTrial:
    study, space = _study(settings.seed + len(before), before, learner), _space(learner)
    trial = study.ask(space if before else {})
    values: dict[str, float | str] = dict(trial.params)
    told: list[float] = []

    def on_epoch(progress: EpochProgress) -> None:
        told.append(progress.record.tune_objective)
        trial.report(told[-1], len(told) - 1)
        # Epochs behind the last one are not saved by an early stop.
        if before and progress.seconds_left and trial.should_prune():
            raise _StoppedEarly

    def ended(outcome: str, objective: float | None = None) -> SearchTrial:
        return SearchTrial.model_validate(
            {"values": values, "outcome": outcome, "objective": objective, "epoch_objectives": tuple(told)}
        )

    try:
        return ended("judged", try_settings(with_values(settings, values), budget_s, on_epoch))
    except _StoppedEarly:
        return ended("stopped early")
    except TrainingDiverged:
        return ended("diverged")


def _study(seed: int, before: tuple[SearchTrial, ...], learner: Learner) -> Study:
    """A study that knows the trials before this one; made anew for each, so that a search can go on as it was."""
    try:
        import optuna  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ArtifactMissing(
            "Optuna is not installed", "it, for training.search.trials above 0", "Run pip install 'sortline[search]'."
        ) from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    states = {"judged": "COMPLETE", "stopped early": "PRUNED", "diverged": "FAIL"}
    study = optuna.create_study(
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=seed, n_startup_trials=_STARTUP_TRIALS),
        pruner=optuna.pruners.MedianPruner(_STARTUP_PRUNES, _WARMUP_EPOCHS),
    )
    space = _space(learner)
    for trial in before:
        study.add_trial(
            optuna.trial.create_trial(
                state=optuna.trial.TrialState[states[trial.outcome]],
                value=trial.objective,
                params=trial.values,
                distributions={name: space[name] for name in trial.values},
                intermediate_values=dict(enumerate(trial.epoch_objectives)),
            )
        )
    return study


def _space(learner: Learner) -> dict[str, BaseDistribution]:
    """What is varied, by the way of learning."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution  # noqa: PLC0415 - an extra

    if learner == "frozen":
        return {
            "head.learning_rate": FloatDistribution(1e-3, 1e-2, log=True),
            "head.input_dropout": FloatDistribution(0.0, 0.6),
            "head.hidden_dropout": FloatDistribution(0.0, 0.7),
            "head.hidden_width": CategoricalDistribution((0, 64, 128, 256)),
        }
    common: dict[str, BaseDistribution] = {
        "fit.weight_decay": FloatDistribution(1e-3, 0.5, log=True),
        "fit.label_smoothing": FloatDistribution(0.0, 0.2),
    }
    if learner == "fine_tune":
        return common | {
            "fit.learning_rate": FloatDistribution(1e-5, 1e-3, log=True),
            "fit.layer_rate_decay": FloatDistribution(0.5, 1.0),
        }
    return common | {
        "fit.learning_rate": FloatDistribution(3e-4, 1e-2, log=True),
        "fit.dropout": FloatDistribution(0.0, 0.5),
        "augment.strength": FloatDistribution(0.0, 1.0),
    }


def _fits_another(log: SearchLog, budget_s: float) -> bool:
    return log.elapsed_s + log.elapsed_s / max(len(log.trials), 1) <= budget_s


def _read_log(path: Path) -> SearchLog:
    """The log, or an empty one where there is none that reads."""
    if not path.is_file():
        return SearchLog()
    try:
        return SearchLog.model_validate_json(path.read_bytes())
    except ValidationError:
        return SearchLog()
