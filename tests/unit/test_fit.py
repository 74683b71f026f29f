"""The parts of a fit that no other test looks at: rows of two stores, norms that stay, the way that is chosen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from models.artifacts.workspace import Workspace
from models.data.resample import ResamplingSettings, plan_resampling
from models.errors import SettingsError, TrainingStopped
from models.interruption import StopRequest
from models.learning.checkpoint import Checkpoint
from models.learning.choose import choose_learner
from models.learning.classifier import Classifier, random_head
from models.learning.fit import Places, Subject, fit_classifier
from models.learning.inputs import PixelInputs, Rows
from models.learning.lesson import Lesson, prepare_lesson
from models.learning.ranks import World
from models.learning.training_settings import (
    AugmentSettings,
    FitSettings,
    HeadSettings,
    SearchSettings,
    TrainingSettings,
)
from models.networks.registry import Build, find_network
from tests.chain import FAST, split_of
from tests.pictures import write_labelled

CPU = torch.device("cpu")
QUICK_HEAD = HeadSettings(members=1, steps=60, weight_decays=(0.1,))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """90 pictures of two classes."""
    return write_labelled(tmp_path_factory.mktemp("pictures"), {"down": 60, "side": 30})


def _lesson(folder: Path, settings: TrainingSettings) -> Lesson:
    split = split_of(folder)
    return prepare_lesson(folder, split, plan_resampling(split, ResamplingSettings()), settings)


def _fit(folder: Path, root: Path, settings: TrainingSettings) -> Checkpoint:
    workspace = Workspace.open(root)
    places = Places(workspace.features_dir, workspace.states_dir)
    return fit_classifier(_lesson(folder, settings), Subject("shapes", "0" * 64), places)


def test_rows_of_two_stores_are_one_below_the_other() -> None:
    rng = np.random.default_rng(0)
    above, below = (rng.integers(0, 256, (3, count, 2, 2, 1)) for count in (4, 2))
    both = np.concatenate([above, below], axis=1)
    positions, views = np.array([5, 0, 3, 4, 5]), np.array([2, 0, 1, 1, 0])
    assert np.array_equal(Rows((above, below)).take(positions, views), both[views, positions])
    assert np.array_equal(Rows((above, below)).take(positions), both[0, positions])


def test_tune_pictures_join_those_of_train_with_their_targets() -> None:
    rng = np.random.default_rng(0)
    train, tune = (rng.integers(0, 256, (1, count, 8, 8, 3), dtype=np.uint8) for count in (3, 2))
    targets = np.eye(5, dtype=np.float32)
    still = AugmentSettings(symmetries="none", policy="none")
    inputs = PixelInputs(Rows((train,)), targets[:3], Rows((tune,)), still).with_tune(targets)
    pixels, wanted = inputs.draw(np.array([4, 1]), torch.Generator().manual_seed(0), CPU)
    assert np.array_equal(pixels.numpy().astype(np.uint8), np.stack([tune[0, 1], train[0, 1]]))
    assert wanted.argmax(1).tolist() == [4, 1]


@pytest.mark.parametrize("keeps", [True, False])
def test_norms_keep_their_statistics_only_where_they_are_told_to(keeps: bool) -> None:
    norm = nn.BatchNorm1d(4)
    model = Classifier(norm, random_head(4, 2, 0.0, 0), keeps_statistics=keeps)
    model.train()
    model(torch.randn(16, 4) + 3).sum().backward()
    assert norm.running_mean is not None
    assert bool((norm.running_mean == 0).all()) == keeps
    assert norm.weight.grad is not None


def test_trained_network_has_seen_the_tune_pictures_in_the_end(labelled: Path, tmp_path: Path) -> None:
    settings = FAST.model_copy(update={"refit_on_tune": True, "fit": FAST.fit.model_copy(update={"epochs": 3})})
    card = _fit(labelled, tmp_path, settings).card
    assert f"trained once more on train and tune, {len(card.epochs)} epochs" in card.notes
    rows = card.train_rows + card.tune_rows
    assert all(share * rows == pytest.approx(round(share * rows)) for share in card.effective_prior)
    assert not all(
        share * card.train_rows == pytest.approx(round(share * card.train_rows)) for share in card.effective_prior
    )


def test_network_without_weights_to_train_learns_by_its_head_alone(pictures: Path, tmp_path: Path) -> None:
    settings = TrainingSettings(network="pixels", size_px=8, head=QUICK_HEAD.model_copy(update={"hidden_width": 0}))
    checkpoint = _fit(pictures, tmp_path, settings)
    assert (checkpoint.card.learner, checkpoint.card.learner_reason) == ("frozen", "the network has nothing to train")
    assert [weight.shape for weight, _ in checkpoint.layers] == [(2, 8 * 8 * 3)]


@pytest.mark.parametrize(("minutes", "learner"), [(1e-6, "frozen"), (1e5, "fine_tune")])
def test_time_decides_whether_a_network_is_fine_tuned_and_the_reason_names_no_measured_time(
    pictures: Path, minutes: float, learner: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.learning.choose._LEAST_ROWS_TO_FINE_TUNE", 10)
    network = find_network("efficientnet_lite0")
    lesson = _lesson(pictures, TrainingSettings(time_budget_minutes=minutes))
    choice = choose_learner(lesson, network, Build(0, 64), CPU)
    verb = "fits" if learner == "fine_tune" else "does not fit"
    assert choice == (learner, f"fine-tuning {verb} into the time budget of {minutes:g} min")


def test_search_is_told_in_the_card_and_its_best_is_trained(pictures: Path, tmp_path: Path) -> None:
    settings = TrainingSettings(network="pixels", size_px=8, head=QUICK_HEAD, search=SearchSettings(trials=3))
    checkpoint = _fit(pictures, tmp_path, settings)
    trials = checkpoint.card.search
    assert [trial.outcome for trial in trials] == ["judged"] * 3
    assert trials[0].values == {}
    assert checkpoint.card.tune_objective == max(trial.objective or 0 for trial in trials)
    assert not list(tmp_path.glob("training/*")), "what a search had to remember is gone with it"


def test_search_in_several_processes_is_refused(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Stands for two ranks that agree.
    monkeypatch.setattr(World, "shared", lambda _, text: text)
    settings = TrainingSettings(network="convnet", fit=FitSettings(epochs=1), search=SearchSettings(trials=2))
    places = Places(tmp_path / "features", tmp_path / "states")
    with pytest.raises(SettingsError, match=r"search\.trials=2 with 2 processes"):
        fit_classifier(_lesson(pictures, settings), Subject("shapes", "0" * 64), places, world=World(0, 2))


def test_wish_to_stop_ends_what_can_be_begun_again() -> None:
    stop = StopRequest()
    told: list[int] = []
    guarded = stop.guarded(lambda done, _: told.append(done))
    guarded(1, 2)
    stop.make()
    with pytest.raises(TrainingStopped, match="what it had computed is kept"):
        guarded(2, 2)
    assert told == [1, 2]
