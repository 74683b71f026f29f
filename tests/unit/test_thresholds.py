from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn import metrics as oracle

from models.errors import ShapeError
from models.learning.metrics import OBJECTIVES
from models.learning.multi_label_metrics import label_counts, label_values
from models.learning.thresholds import LARGEST_OFFSET, choose_thresholds

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


def _column(with_label: list[float], without_label: list[float]) -> tuple[Floats, Flags]:
    """One label of rows that have it, then of rows that lack it."""
    applies = [True] * len(with_label) + [False] * len(without_label)
    return np.array([*with_label, *without_label])[:, None], np.array(applies)[:, None]


def _values(logits: Floats, targets: Flags, offset: Floats, objective: str) -> Floats:
    return label_values(label_counts(targets, logits + offset >= 0), objective)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_threshold_goes_where_it_parts_both_sides(objective: str) -> None:
    logits, targets = _column([-1.0, -0.5, 0.2, 0.5, 1.0], [-4.0, -3.5, -3.0, -2.5, -2.0])
    assert choose_thresholds(logits, targets, objective).tolist() == [1.5]


def test_rare_label_is_given_earlier_for_balanced_accuracy_than_for_accuracy() -> None:
    logits, targets = _column([-1.1] * 6, [-1.2] * 6 + [-1.0] * 8 + [-3.0] * 10)
    assert choose_thresholds(logits, targets, "balanced_accuracy")[0] == pytest.approx(1.15)
    assert choose_thresholds(logits, targets, "accuracy").tolist() == [0.0]


@pytest.mark.parametrize(("positives", "negatives", "is_moved"), [(5, 5, True), (4, 9, False), (9, 4, False)])
def test_label_with_a_handful_of_rows_on_a_side_keeps_zero(positives: int, negatives: int, is_moved: bool) -> None:
    logits, targets = _column([-1.0] * positives, [-3.0] * negatives)
    found = choose_thresholds(logits, targets, "macro_f1").tolist()
    assert found == ([2.0] if is_moved else [0.0])


def test_ties_keep_zero_and_zero_has_no_sign() -> None:
    logits, targets = _column([1.0, 2.0, 3.0, 4.0, 5.0], [-1.0, -2.0, -3.0, -4.0, -5.0])
    (found,) = choose_thresholds(logits, targets, "macro_f1")
    assert found == 0.0
    assert not np.signbit(found)


def test_offset_stays_inside_its_limits() -> None:
    # The best threshold is at -6; the nearest that may be had parts nothing better than 0 does, or a part of it.
    far, targets = _column([-5.0] * 6, [-7.0] * 6)
    assert choose_thresholds(far, targets, "macro_f1").tolist() == [0.0]
    across, targets = _column([-3.5] * 6, [-7.0] * 6)
    assert choose_thresholds(across, targets, "macro_f1").tolist() == [LARGEST_OFFSET]


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000), st.sampled_from(OBJECTIVES))
def test_no_other_threshold_of_a_fine_grid_is_better(seed: int, objective: str) -> None:
    rng = np.random.default_rng(seed)
    logits = rng.normal(rng.normal(0, 2, 3), 1.5, (40, 3)).round(1)
    targets = rng.random((40, 3)) < 1 / (1 + np.exp(-logits - 1))
    before = logits.copy()
    found = choose_thresholds(logits, targets, objective)
    assert np.array_equal(logits, before)
    assert (np.abs(found) <= LARGEST_OFFSET).all()
    can_learn = np.minimum(targets.sum(0), (~targets).sum(0)) >= 5
    assert (found[~can_learn] == 0).all()
    # Logits have one digit, so that thresholds between them have two.
    grid = np.arange(-395, 396, 10) / 100
    best = np.max([_values(logits, targets, np.full(3, t), objective) for t in grid], axis=0)
    assert (_values(logits, targets, found, objective) >= best - 1e-9)[can_learn].all()


def test_f1_of_a_chosen_label_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(3)
    targets = rng.random((200, 2)) < (0.1, 0.4)
    logits = rng.normal(size=(200, 2)) + 2 * targets - 2
    given = logits + choose_thresholds(logits, targets, "macro_f1") >= 0
    chosen = oracle.f1_score(targets, given, average=None)
    assert (chosen > oracle.f1_score(targets, logits >= 0, average=None)).all()
    assert _values(logits, targets, choose_thresholds(logits, targets, "macro_f1"), "macro_f1") == pytest.approx(chosen)


def test_other_shapes_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"logits of shape \(4, 2\) and targets of shape \(4, 3\)"):
        choose_thresholds(np.zeros((4, 2)), np.zeros((4, 3), dtype=np.bool_), "macro_f1")
