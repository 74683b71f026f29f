"""Learning curves: well-formed, whole with one epoch or broken values, and the same bytes for the same epochs."""

from __future__ import annotations

import math
from xml.etree import ElementTree

import pytest

from models.artifacts.records import EpochRecord
from models.reports.curves import learning_curves

_SVG = "{http://www.w3.org/2000/svg}"


def _epoch(epoch: int, loss: float, objective: float) -> EpochRecord:
    return EpochRecord(epoch=epoch, train_loss=loss, train_accuracy=0.5, tune_loss=loss + 0.1, tune_objective=objective)


def _texts(picture: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(picture).iter(f"{_SVG}text")]


def test_curves_name_their_lines_and_mark_the_epoch_that_was_kept() -> None:
    picture = learning_curves([_epoch(k, 1 / (k + 1), (0.3, 0.7, 0.7, 0.6)[k]) for k in range(4)], "macro_f1")
    texts = _texts(picture)
    assert {"train loss", "tune loss", "train accuracy", "tune macro_f1", "epoch"} <= set(texts)
    assert texts.count("kept: 3") == 2
    assert {"1", "2", "3", "4", "0.2", "1.2"} <= set(texts)
    root = ElementTree.fromstring(picture)
    assert root.get("viewBox") == "0 0 720 270"
    assert {element.tag.removeprefix(_SVG) for element in root.iter()} == {"svg", "rect", "path", "text", "circle"}


def test_points_lie_where_their_values_are() -> None:
    picture = learning_curves([_epoch(0, 0.0, 0.0), _epoch(1, 1.0, 1.0)], "accuracy")
    assert 'd="M410.0 225.0L700.0 40.0h.1"' in picture, "from the bottom left to the top right of the second panel"


def test_equal_epochs_give_equal_bytes() -> None:
    epochs = [_epoch(k, math.exp(-k / 3), 1 - math.exp(-k / 7)) for k in range(25)]
    assert learning_curves(epochs, "macro_f1") == learning_curves(list(epochs), "macro_f1")


@pytest.mark.parametrize("loss", [0.0, 0.7, 1e-12, 3e30, math.nan, math.inf])
def test_one_epoch_is_enough_whatever_its_loss(loss: float) -> None:
    picture = learning_curves([_epoch(0, loss, 0.5)], "macro_f1")
    assert _texts(picture).count("kept: 1") == 2
    assert "nan" not in picture
    assert "inf" not in picture


def test_values_that_are_no_numbers_leave_a_gap() -> None:
    losses = (1.0, 0.9, math.nan, math.inf, 0.5, math.nan, 0.4)
    picture = learning_curves([_epoch(k, loss, 0.5) for k, loss in enumerate(losses)], "macro_f1")
    drawn = [e for e in ElementTree.fromstring(picture).iter(f"{_SVG}path") if e.get("d", "").endswith("h.1")]
    assert len(drawn) == 3 + 3 + 1 + 1
    assert _texts(picture).count("kept: 7") == 2


def test_an_objective_that_is_never_a_number_still_draws() -> None:
    assert "kept: 2" in learning_curves([_epoch(0, 1.0, math.nan), _epoch(1, 1.0, math.nan)], "macro_f1")


def test_names_are_escaped() -> None:
    assert 'tune <b>&"' in _texts(learning_curves([_epoch(0, 1.0, 0.5)], '<b>&"'))


def test_no_epochs_no_picture() -> None:
    assert learning_curves([], "macro_f1") == ""
