from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from numpy.typing import NDArray

from models.data.resample import ResamplingSettings
from models.errors import SettingsError, ShapeError
from models.learning.imbalance import plan_imbalance, refit_balanced, require_one_correction, tau_normalised
from models.learning.metrics import confusion_counts, objective_value
from models.learning.training_settings import Imbalance

_METHODS: tuple[Imbalance, ...] = get_args(Imbalance)


def test_every_method_has_at_most_one_correction() -> None:
    corrected = {}
    for method in _METHODS:
        plan = plan_imbalance(method)
        ResamplingSettings(method=plan.draws)
        corrects = (
            plan.draws != "natural",
            plan.is_weighted,
            plan.loss == "balanced_softmax",
            plan.late != "none",
            plan.strengths != (0.0,),
        )
        corrected[method] = sum(corrects)
    assert corrected == {method: int(method not in ("natural", "focal")) for method in _METHODS}


def test_ldam_weighs_classes_late_and_auto_tries_strengths() -> None:
    assert plan_imbalance("ldam_drw").deferred_share == 0.8
    assert plan_imbalance("effective_number").deferred_share == 0
    assert plan_imbalance("auto").strengths == (0, 0.25, 0.5, 0.75, 1)


@pytest.mark.parametrize("method", _METHODS)
@pytest.mark.parametrize("draws", ["auto", "natural"])
def test_draws_that_correct_nothing_go_with_every_method(method: Imbalance, draws: str) -> None:
    require_one_correction(method, draws)


@pytest.mark.parametrize(
    ("method", "draws"),
    [("auto", "balanced"), ("natural", "sqrt"), ("focal", "undersample"), ("sqrt", "sqrt"), ("balanced", "balanced")],
)
def test_one_correction_is_allowed(method: Imbalance, draws: str) -> None:
    require_one_correction(method, draws)


@pytest.mark.parametrize(
    ("method", "draws"),
    [
        ("sqrt", "balanced"),
        ("progressive", "repeat_factor"),
        ("effective_number", "effective_number"),
        ("balanced_softmax", "sqrt"),
        ("ldam_drw", "undersample"),
        ("crt", "balanced"),
        ("tau_norm", "progressive"),
    ],
)
def test_two_corrections_are_refused(method: Imbalance, draws: str) -> None:
    with pytest.raises(SettingsError, match=f"imbalance {method} and draws by {draws} both take the class prior back"):
        require_one_correction(method, draws)


def test_tau_normalised_goes_from_as_it_is_to_equal_norms() -> None:
    weight = np.array([[3, 4], [0.6, 0.8], [1, 0]], dtype=np.float32)
    before = np.linalg.norm(weight, axis=1)
    half, full = (np.linalg.norm(tau_normalised(weight, tau), axis=1) for tau in (0.5, 1.0))
    assert np.allclose(tau_normalised(weight, 0.0), weight)
    assert np.allclose(full, before.mean())
    assert half[0] > half[1]
    assert half[0] / half[1] == pytest.approx((before[0] / before[1]) ** 0.5)
    assert half.mean() == pytest.approx(before.mean())


def test_tau_normalised_leaves_a_row_of_zeros() -> None:
    assert np.array_equal(tau_normalised(np.zeros((2, 3), dtype=np.float32), 1.0), np.zeros((2, 3)))
    seen = tau_normalised(np.array([[0, 0], [0, 2]], dtype=np.float32), 1.0)
    assert np.allclose(seen, [[0, 0], [0, 2]])


def _long_tail(rows: tuple[int, ...], seed: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(rows)), rows)
    centres = np.array([[0, 0], [1.5, 0], [0, 1.5]])
    # Far from zero and of unlike spread, as embeddings can be.
    features = (centres[labels] + rng.normal(0, 0.7, (len(labels), 2))) * (1, 30) + (5, -200)
    return features.astype(np.float32), labels


def _recall(features: NDArray[np.float32], labels: NDArray[np.int64], weight: object, bias: object) -> float:
    predicted = (features @ np.asarray(weight).T + np.asarray(bias)).argmax(1)
    return float(objective_value(confusion_counts(labels, predicted, 3), "balanced_accuracy"))


def test_refit_raises_recall_of_a_long_tail_and_repeats_itself() -> None:
    features, labels = _long_tail((600, 40, 8), seed=0)
    start = (np.zeros((3, 2), dtype=np.float32), np.array([9, 3, 0], dtype=np.float32))
    weight, bias = refit_balanced(features, labels, 3, *start, seed=1)
    again = refit_balanced(features, labels, 3, *start, seed=1)
    other = refit_balanced(features, labels, 3, *start, seed=2)
    even = _long_tail((300, 300, 300), seed=1)
    assert _recall(*even, *start) == pytest.approx(1 / 3)
    assert _recall(*even, weight, bias) > 0.65
    assert weight.dtype == bias.dtype == np.float32
    assert np.array_equal(weight, again[0])
    assert np.array_equal(bias, again[1])
    assert not np.array_equal(weight, other[0])
    assert np.array_equal(start[1], [9, 3, 0])


def test_refit_refuses_rows_that_do_not_fit() -> None:
    start = (np.zeros((2, 3), dtype=np.float32), np.zeros(2, dtype=np.float32))
    for labels in (np.array([0, 2]), np.array([0])):
        with pytest.raises(ShapeError, match=r"0\.\.1 a row"):
            refit_balanced(np.ones((2, 3), dtype=np.float32), labels, 2, *start, seed=0)
