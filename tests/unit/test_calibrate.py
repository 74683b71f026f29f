from __future__ import annotations

import numpy as np
import pytest

from models.learning.calibrate import fit_calibration


def _drawn(rng: np.random.Generator, sharpness: float) -> tuple[np.ndarray, np.ndarray]:
    """Logits, `sharpness` times as sure as they may be, and the classes that were drawn by the true ones."""
    logits = rng.normal(size=(4000, 3)) * 2
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    index = (shares.cumsum(1) > rng.random((len(logits), 1))).argmax(1)
    return logits * sharpness, np.eye(3, dtype=np.float32)[index]


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 3.0])
def test_temperature_takes_back_what_is_too_sure_or_too_unsure(sharpness: float) -> None:
    logits, targets = _drawn(np.random.default_rng(0), sharpness)
    found = fit_calibration(logits, targets, "single_label")
    assert found.temperature == pytest.approx(sharpness, rel=0.08)
    assert found.log_loss_after is not None
    assert found.log_loss_before is not None
    assert found.log_loss_after <= found.log_loss_before


def test_each_label_of_several_counts() -> None:
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(4000, 2)) * 2
    targets = (rng.random(logits.shape) < 1 / (1 + np.exp(-logits))).astype(np.float32)
    assert fit_calibration(4 * logits, targets, "multi_label").temperature == pytest.approx(4, rel=0.1)


def test_answers_that_are_all_right_do_not_make_it_infinitely_sure() -> None:
    targets = np.eye(2, dtype=np.float32)[[0, 1] * 10]
    temperature = fit_calibration(targets.astype(np.float64) * 4, targets, "single_label").temperature
    # 20 right ones of 20 make an answer 21 / 22 sure.
    assert 1 / (1 + np.exp(-4 / temperature)) == pytest.approx(21 / 22, abs=1e-3)
