from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from numpy.typing import NDArray

from models.data.resample import ResamplingSettings
from models.errors import SettingsError, ShapeError
from models.learning.imbalance import (
    ImbalancePlan,
    plan_imbalance,
    refit_balanced,
    require_one_correction,
    tau_normalised,
)
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


def test_every_method_means_what_its_name_says() -> None:
    plain = ImbalancePlan("natural", "cross_entropy", False, 0.0, "none", (0.0,))
    wanted: dict[Imbalance, ImbalancePlan] = {
        "auto": plain._replace(strengths=(0.0, 0.25, 0.5, 0.75, 1.0)),
        "natural": plain,
        "sqrt": plain._replace(draws="sqrt"),
        "balanced": plain._replace(draws="balanced"),
        "progressive": plain._replace(draws="progressive"),
        "effective_number": plain._replace(is_weighted=True),
        "focal": plain._replace(loss="focal"),
        "balanced_softmax": plain._replace(loss="balanced_softmax"),
        "ldam_drw": plain._replace(loss="ldam", is_weighted=True, deferred_share=0.8),
        "crt": plain._replace(late="crt"),
        "tau_norm": plain._replace(late="tau_norm"),
    }
    assert {method: plan_imbalance(method) for method in _METHODS} == wanted


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


_CENTRES = np.array([[0, 0], [1.5, 0], [0, 1.5]])
_SPREAD = 0.7
# Far from zero and of unlike scale, as embeddings can be.
_SCALE, _SHIFT = np.array([1, 30]), np.array([5, -200])


def _long_tail(rows: tuple[int, ...], seed: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(rows)), rows)
    features = _CENTRES[labels] + rng.normal(0, _SPREAD, (len(labels), 2))
    return (features * _SCALE + _SHIFT).astype(np.float32), labels


def _best_layer(rows: tuple[int, ...]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What training without any correction comes to, in closed form."""
    weight = _CENTRES / _SPREAD**2 / _SCALE
    bias = np.log(np.array(rows) / sum(rows)) - (_CENTRES**2).sum(1) / _SPREAD**2 / 2 - weight @ _SHIFT
    return weight.astype(np.float32), bias.astype(np.float32)


def _recall(
    features: NDArray[np.float32], labels: NDArray[np.int64], weight: NDArray[np.float32], bias: NDArray[np.float32]
) -> float:
    predicted = (features @ weight.T + bias).argmax(1)
    return float(objective_value(confusion_counts(labels, predicted, 3), "balanced_accuracy"))


def test_refit_raises_recall_of_a_long_tail_and_repeats_itself() -> None:
    rows = (600, 40, 8)
    features, labels = _long_tail(rows, seed=0)
    start = _best_layer(rows)
    weight, bias = refit_balanced(features, labels, 3, *start, seed=1)
    again = refit_balanced(features, labels, 3, *start, seed=1)
    other = refit_balanced(features, labels, 3, *start, seed=2)
    even = _long_tail((300, 300, 300), seed=1)
    assert _recall(*even, weight, bias) > _recall(*even, *start) + 0.1
    assert weight.dtype == bias.dtype == np.float32
    assert np.array_equal(weight, again[0])
    assert np.array_equal(bias, again[1])
    assert not np.array_equal(weight, other[0])
    assert np.array_equal(start[1], _best_layer(rows)[1])


def test_refit_refuses_rows_that_do_not_fit() -> None:
    start = (np.zeros((2, 3), dtype=np.float32), np.zeros(2, dtype=np.float32))
    for labels in (np.array([0, 2]), np.array([0])):
        with pytest.raises(ShapeError, match=r"0\.\.1 a row"):
            refit_balanced(np.ones((2, 3), dtype=np.float32), labels, 2, *start, seed=0)
