"""Learning from pictures without labels: where names are believed, and when a second model takes the first's place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models.artifacts.records import PseudoReport
from models.data.resample import ResamplingSettings, plan_resampling
from models.errors import SettingsError
from models.learning.checkpoint import CalibrationRows, Checkpoint
from models.learning.fit import Places, Subject
from models.learning.learn import learn
from models.learning.lesson import Lesson, prepare_lesson
from models.learning.pseudo import Named, learn_with_unlabelled, threshold_for, with_named
from models.learning.pseudo_settings import PseudoSettings
from models.learning.training_settings import TrainingSettings
from tests.chain import FAST, split_of
from tests.pictures import write_inbox, write_labelled


def test_the_threshold_is_where_names_are_right_often_enough() -> None:
    score = np.linspace(1.0, 0.5, 101)
    is_right = score > 0.75
    threshold, precision = threshold_for(score, is_right, 0.95)
    assert threshold == pytest.approx(0.74, abs=0.011)
    assert precision >= 0.95
    assert threshold_for(score, ~is_right, 0.95)[0] is None
    assert threshold_for(score[:9], np.ones(9, dtype=bool), 0.95)[0] is None, "nine rows say nothing"


def test_equal_scores_stand_or_fall_together() -> None:
    score = np.array([0.9] * 20 + [0.8] * 20)
    is_right = np.array([True] * 20 + [True] * 5 + [False] * 15)
    assert threshold_for(score, is_right, 0.95) == (0.9, 1.0)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    root = tmp_path_factory.mktemp("few")
    return write_labelled(root / "labelled", {"down": 40, "round": 40}), write_inbox(root / "pool", 30, damaged=True)


def _lesson(folders: tuple[Path, Path], settings: TrainingSettings) -> Lesson:
    split = split_of(folders[0])
    return prepare_lesson(folders[0], split, plan_resampling(split, ResamplingSettings()), settings)


def test_named_pictures_stand_below_train_and_count_for_less(folders: tuple[Path, Path]) -> None:
    lesson = _lesson(folders, FAST.model_copy(update={"pseudo": PseudoSettings(folder="x", weight=0.25)}))
    named = Named([Path("a"), Path("b")], ["1" * 64, "2" * 64], np.array([1, 0]))
    joined = with_named(lesson, named)
    rows = len(lesson.train.paths)
    assert joined.train.class_index[-2:].tolist() == [1, 0]
    assert len(joined.train.paths) == len(joined.draw_weight) == rows + 2
    assert joined.draw_weight[-1] == pytest.approx(0.25 * lesson.draw_weight.mean())
    assert joined.settings.augment.policy == "trivial"
    assert lesson.settings.augment.policy == FAST.augment.policy
    assert joined.tune is lesson.tune, "tune goes on judging by people's labels"


def test_from_folder_to_card(folders: tuple[Path, Path], tmp_path: Path) -> None:
    """The whole way: named pictures are counted, and what tune says of the second model is in the card."""
    pseudo = PseudoSettings(folder=str(folders[1]), precision=0.8)
    settings = FAST.model_copy(update={"pseudo": pseudo})
    split = split_of(folders[0])
    plan = plan_resampling(split, ResamplingSettings())
    places = Places(tmp_path / "features", tmp_path / "states")
    report = learn(folders[0], split, plan, settings, Subject("few", "0" * 64), places).card.pseudo
    assert report is not None
    assert report.pictures == 30
    assert 0 < report.named <= 30
    assert report.second_objective is not None
    assert report.is_taken == (report.refusal == "")


@pytest.mark.parametrize(("second_right", "is_taken"), [(1.0, True), (0.5, False)])
def test_the_second_model_has_to_be_better(
    folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, second_right: float, is_taken: bool
) -> None:
    """The gate alone: models are made up here, with so many right answers on tune."""
    lesson = _lesson(folders, FAST.model_copy(update={"pseudo": PseudoSettings(folder=str(folders[1]))}))
    base = learn(
        folders[0],
        split_of(folders[0]),
        plan_resampling(split_of(folders[0]), ResamplingSettings()),
        FAST,
        Subject("few", "0" * 64),
        Places(tmp_path / "features", tmp_path / "states"),
    )

    def made(share: float) -> Checkpoint:
        targets = np.eye(2, dtype=np.float32)[np.arange(200) % 2]
        said = np.where(np.arange(200)[:, None] < share * 200, targets, 1 - targets)
        return base._replace(calibration=CalibrationRows((said * 20).astype(np.float32), targets))

    monkeypatch.setattr("models.learning.pseudo.threshold_for", lambda *_: (0.0, 1.0))
    given = iter([made(0.7), made(second_right)])
    report = learn_with_unlabelled(lesson, tmp_path / "features", lambda _: next(given)).card.pseudo
    assert isinstance(report, PseudoReport)
    assert report.is_taken is is_taken
    assert ("no gain beyond chance" in report.refusal) is not is_taken


def test_several_processes_are_refused(folders: tuple[Path, Path], tmp_path: Path) -> None:
    fit = FAST.fit.model_copy(update={"processes": 2})
    lesson = _lesson(folders, FAST.model_copy(update={"fit": fit, "pseudo": PseudoSettings(folder="x")}))
    with pytest.raises(SettingsError, match=r"training\.pseudo\.folder"):
        learn_with_unlabelled(lesson, tmp_path, lambda _: pytest.fail("nothing is learned"))
