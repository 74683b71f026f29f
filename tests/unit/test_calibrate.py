from __future__ import annotations

import numpy as np
import pytest
from scipy.special import log_softmax

from models.errors import SettingsError
from models.learning.calibrate import TuneRows, fit_calibration, require_possible
from models.learning.metrics import confusion_counts, objective_value


def _rows(logits: np.ndarray, index: np.ndarray, offset: np.ndarray | None = None) -> TuneRows:
    """As of one label a picture, judged by macro-F1."""
    count = logits.shape[1]
    targets = np.eye(count, dtype=np.float32)[index]
    given = np.zeros(count) if offset is None else offset

    def objective(served: np.ndarray) -> float:
        return float(objective_value(confusion_counts(index, served.argmax(1), count), "macro_f1"))

    return TuneRows(logits, given, targets, "single_label", objective)


def _drawn(rng: np.random.Generator, count: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and the classes that were drawn by them."""
    logits = rng.normal(size=(count, 3)) * 2
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return logits, (shares.cumsum(1) > rng.random((len(logits), 1))).argmax(1)


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 3.0])
def test_temperature_takes_back_what_is_too_sure_or_too_unsure(sharpness: float) -> None:
    logits, index = _drawn(np.random.default_rng(0))
    found = fit_calibration(_rows(logits * sharpness, index))
    assert found.temperature == pytest.approx(sharpness, rel=0.08)
    assert found.class_scale == ()
    assert found.log_loss_after is not None
    assert found.log_loss_before is not None
    assert found.log_loss_after <= found.log_loss_before


def test_classes_that_are_off_in_different_ways_get_a_scale_and_a_bias_each() -> None:
    logits, index = _drawn(np.random.default_rng(1))
    off = logits * np.array([0.4, 1.0, 2.5]) + np.array([1.5, 0.0, -1.0])
    one, each = (fit_calibration(_rows(off, index), way) for way in ("temperature", "auto"))
    assert each.vector_gain is not None
    assert each.vector_gain > 0.01
    served = (off * np.array(each.class_scale) + np.array(each.class_bias)) / each.temperature
    exact = -float(log_softmax(logits, axis=1)[np.arange(len(index)), index].mean())
    assert -float(log_softmax(served, axis=1)[np.arange(len(index)), index].mean()) == pytest.approx(exact, abs=0.005)
    assert one.log_loss_after is not None
    assert one.log_loss_after > exact + 0.05


def test_what_the_correction_gave_to_rare_classes_is_not_taken_back() -> None:
    logits, index = _drawn(np.random.default_rng(2))
    offset = np.array([-1.0, 0.0, 1.0])
    found = fit_calibration(_rows(logits, index, offset), "vector")
    assert np.array(found.class_scale) == pytest.approx(np.ones(3), abs=0.1)
    assert np.array(found.class_bias) == pytest.approx(np.zeros(3), abs=0.1)


def test_thirty_rows_that_fit_by_chance_get_no_scale_a_class() -> None:
    taken = [bool(fit_calibration(_rows(*_drawn(np.random.default_rng(seed), 30))).class_scale) for seed in range(20)]
    assert sum(taken) <= 4


def test_none_leaves_scores_as_they_are() -> None:
    logits, index = _drawn(np.random.default_rng(3))
    found = fit_calibration(_rows(logits * 3, index), "none")
    assert (found.temperature, found.class_scale) == (1.0, ())


def test_each_label_of_several_counts() -> None:
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(4000, 2)) * 2
    targets = (rng.random(logits.shape) < 1 / (1 + np.exp(-logits))).astype(np.float32)
    rows = TuneRows(4 * logits, np.zeros(2), targets, "multi_label", lambda _: 0.0)
    assert fit_calibration(rows).temperature == pytest.approx(4, rel=0.1)


def test_a_scale_a_class_is_refused_where_labels_have_thresholds() -> None:
    with pytest.raises(SettingsError, match="several labels"):
        require_possible("vector", "multi_label")
    require_possible("vector", "single_label")
    require_possible("auto", "multi_label")


def test_answers_that_are_all_right_do_not_make_it_infinitely_sure() -> None:
    index = np.array([0, 1] * 10)
    temperature = fit_calibration(_rows(np.eye(2)[index] * 4, index), "temperature").temperature
    # Without an expectation it would be 0.1, and every score 1.
    assert 0.4 < temperature < 1
