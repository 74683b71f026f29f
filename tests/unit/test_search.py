"""A search keeps what was best on tune, stops in time, and goes on where it was interrupted."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from models.artifacts.records import EpochRecord
from models.errors import TrainingDiverged, TrainingStopped
from models.learning.progress import EpochProgress, OnEpoch
from models.learning.search import Found, search_settings
from models.learning.training_settings import SearchSettings, TrainingSettings

BEST_RATE = 1e-3


def _settings(trials: int, minutes: float = 10) -> TrainingSettings:
    search = SearchSettings(trials=trials, budget_share=0.5)
    return TrainingSettings(learner="scratch", time_budget_minutes=minutes, search=search, seed=3)


class Trainings:
    """Stands for training: the nearer the rate is to 1e-3, the better; as set, the rate is 0."""

    def __init__(self, stop_at: int | None = None, seconds: float = 0.0) -> None:
        self.tried: list[TrainingSettings] = []
        self.epochs: list[int] = []
        self.stop_at, self.seconds = stop_at, seconds

    def __call__(self, settings: TrainingSettings, budget_s: float, on_epoch: OnEpoch) -> float:
        if len(self.tried) == self.stop_at:
            raise TrainingStopped("asked", "time", "Run again.")
        self.tried.append(settings)
        self.epochs.append(0)
        time.sleep(self.seconds)
        rate = settings.fit.learning_rate
        value = 0.5 if not rate else 1 / (1 + abs(rate - BEST_RATE) / BEST_RATE)
        for epoch in range(3):
            record = EpochRecord(epoch=epoch, train_loss=1, tune_loss=1, tune_objective=value)
            self.epochs[-1] += 1
            on_epoch(EpochProgress(record=record, epochs=3, images_per_s=1, seconds_left=2.0 - epoch))
        return value


def _search(trainings: Trainings, path: Path, settings: TrainingSettings) -> Found:
    return search_settings(settings, "scratch", trainings, path / "search.json")


def test_best_settings_are_kept_and_the_ones_as_they_are_come_first(tmp_path: Path) -> None:
    trainings = Trainings()
    found = _search(trainings, tmp_path, _settings(15))
    assert len(found.trials) == len(trainings.tried) == 15
    assert trainings.tried[0] == _settings(15)
    values = [trial.objective for trial in found.trials if trial.objective is not None]
    best = max(found.trials, key=lambda trial: trial.objective or 0)
    assert max(values) > 0.5
    assert found.settings.fit.learning_rate == best.values["fit.learning_rate"]


def test_poor_trials_are_stopped_early(tmp_path: Path) -> None:
    trainings = Trainings()
    found = _search(trainings, tmp_path, _settings(15))
    stopped = [k for k, trial in enumerate(found.trials) if trial.outcome == "stopped early"]
    assert stopped
    assert {trainings.epochs[k] for k in stopped} == {2}
    assert all(found.trials[k].objective is None for k in stopped)


def test_where_nothing_is_better_the_settings_stay(tmp_path: Path) -> None:
    def always_worse(settings: TrainingSettings, _budget_s: float, _on_epoch: OnEpoch) -> float:
        return 0.5 if not settings.fit.learning_rate else 0.1

    found = search_settings(_settings(4), "scratch", always_worse, tmp_path / "search.json")
    assert found.settings == _settings(4)


def test_interrupted_search_goes_on_as_it_would_have(tmp_path: Path) -> None:
    whole = _search(Trainings(), tmp_path / "whole", _settings(8))
    with pytest.raises(TrainingStopped):
        _search(Trainings(stop_at=5), tmp_path, _settings(8))
    rest = Trainings()
    found = _search(rest, tmp_path, _settings(8))
    assert len(rest.tried) == 3
    assert (found.settings, found.trials) == (whole.settings, whole.trials)


def test_search_ends_with_its_share_of_the_time(tmp_path: Path) -> None:
    share_s = 0.5
    found = _search(Trainings(seconds=0.2), tmp_path, _settings(100, minutes=2 * share_s / 60))
    assert 1 <= len(found.trials) <= 3
    assert found.elapsed_s >= 0.2


def test_training_that_diverges_is_a_trial_that_lost(tmp_path: Path) -> None:
    def diverging(settings: TrainingSettings, _budget_s: float, _on_epoch: OnEpoch) -> float:
        if settings.fit.learning_rate:
            raise TrainingDiverged("no number", "numbers", "Lower the rate.")
        return 0.5

    found = search_settings(_settings(3), "scratch", diverging, tmp_path / "search.json")
    assert [trial.outcome for trial in found.trials] == ["judged", "diverged", "diverged"]
    assert found.settings == _settings(3)
