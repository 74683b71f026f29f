"""Calibration on tune: a temperature, and a scale and bias a class where the rows show that it pays."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from models.artifacts.records import Calibration, Task
from models.errors import SettingsError
from models.learning.losses import LossKind, LossSettings, plain_loss, row_losses
from models.learning.training_settings import CalibrationMethod
from models.learning.vector_scaling import FOLDS, fit_vector_scaling, held_out_rows

_LEAST_TEMPERATURE, _LARGEST_TEMPERATURE = 0.1, 20.0
# How far a temperature is expected from 1 before any row was seen: by a factor of e now and then.
_LOG_TEMPERATURE_SD = 0.5
Floats = NDArray[np.float64]
Objective = Callable[[Floats], float]


class TuneRows(NamedTuple):
    """What calibration is fitted on, of the first training where there were two.

    Attributes:
        logits: (N, K), as the network gives them.
        offset: (K,) the correction that is added to them.
        targets: (N, K), 1 where a class applies.
        task: one label a picture, or several; then the loss is that of each label.
        objective: from (N, K) corrected logits to what the model was chosen for.
    """

    logits: Floats
    offset: Floats
    targets: NDArray[np.float32]
    task: Task
    objective: Objective


def require_possible(method: CalibrationMethod, task: Task) -> None:
    """Refuses scales and biases where each label has a threshold of its own: they would move it.

    Raises:
        SettingsError: vector scaling for several labels a picture.
    """
    if method == "vector" and task == "multi_label":
        found = "training.calibration=vector with several labels a picture"
        raise SettingsError(found, "auto, temperature or none", "Set training.calibration to one of those.")


def fit_calibration(rows: TuneRows, method: CalibrationMethod = "auto") -> Calibration:
    """What makes scores shares of right answers.

    A temperature (Guo et al., arXiv 1706.04599) changes no answer. A scale and a bias a class do, so `auto` takes them
    only where held-out fifths of tune show a gain in log loss above two of its standard errors, and no loss in the
    objective.
    Before any row is seen, scores are expected to be about right: of few rows that are all right nobody knows that the
    next one will be, and without that the temperature would fall to its least value.
    """
    kind: LossKind = "binary" if rows.task == "multi_label" else "cross_entropy"
    loss, wanted = plain_loss(rows.logits.shape[1], kind), rows.targets.astype(np.float64)
    corrected = rows.logits + rows.offset
    before = float(_losses(corrected, wanted, loss).mean())
    if method == "none":
        return Calibration(log_loss_before=before, log_loss_after=before)
    gain = _vector_gain(rows, wanted, loss) if method == "auto" else None
    if method == "vector" or (gain is not None and gain.is_certain):
        vector = fit_vector_scaling(rows.logits, wanted, loss)
        temperature, after = _temperature(vector(rows.logits) + rows.offset, wanted, loss)
        scale, bias = tuple(map(float, vector.scale)), tuple(map(float, vector.bias))
    else:
        (temperature, after), scale, bias = _temperature(corrected, wanted, loss), (), ()
    return Calibration(
        temperature=temperature,
        class_scale=scale,
        class_bias=bias,
        log_loss_before=before,
        log_loss_after=after,
        vector_gain=gain.mean if gain else None,
    )


class _Gain(NamedTuple):
    mean: float
    is_certain: bool


def _vector_gain(rows: TuneRows, wanted: Floats, loss: LossSettings) -> _Gain | None:
    """What scales and biases gain over a temperature on rows that neither was fitted on; None where nobody can tell."""
    if rows.task == "multi_label" or len(rows.logits) < 2 * FOLDS:
        return None
    plain, scaled = np.empty_like(rows.logits), np.empty_like(rows.logits)
    for held_out in held_out_rows(rows.targets):
        seen = ~held_out
        vector = fit_vector_scaling(rows.logits[seen], wanted[seen], loss)
        for way, found in ((_as_it_is, plain), (vector, scaled)):
            served = way(rows.logits) + rows.offset
            found[held_out] = served[held_out] / _temperature(served[seen], wanted[seen], loss)[0]
    gain = _losses(plain, wanted, loss) - _losses(scaled, wanted, loss)
    error = float(gain.std(ddof=1) / np.sqrt(len(gain)))
    keeps_objective = rows.objective(scaled) >= rows.objective(plain)
    return _Gain(float(gain.mean()), bool(gain.mean() > 2 * error and keeps_objective))


def _as_it_is(logits: Floats) -> Floats:
    return logits


def _temperature(logits: Floats, wanted: Floats, loss: LossSettings) -> tuple[float, float]:
    """The most likely temperature, and its log loss."""

    def log_loss(log_temperature: float) -> float:
        return float(_losses(logits / np.exp(log_temperature), wanted, loss).mean())

    def unlikely(log_temperature: float) -> float:
        return log_loss(log_temperature) + (log_temperature / _LOG_TEMPERATURE_SD) ** 2 / 2 / len(logits)

    bounds = (float(np.log(_LEAST_TEMPERATURE)), float(np.log(_LARGEST_TEMPERATURE)))
    found = minimize_scalar(unlikely, bounds=bounds, method="bounded")
    # The search ends beside the best value; what was there already is not given up for that.
    best = float(found.x) if found.fun < unlikely(0.0) else 0.0
    return float(np.exp(best)), log_loss(best)


def _losses(logits: Floats, wanted: Floats, loss: LossSettings) -> Floats:
    """(N,) loss of each row."""
    return np.asarray(row_losses(loss, torch.from_numpy(logits), torch.from_numpy(wanted)).numpy())
