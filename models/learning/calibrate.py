"""Temperature scaling (Guo et al., arXiv 1706.04599): one number that makes scores shares of right answers."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from models.artifacts.records import Calibration, Task
from models.learning.losses import LossKind, plain_loss, row_losses

_LEAST_TEMPERATURE, _LARGEST_TEMPERATURE = 0.1, 20.0


def fit_calibration(logits: NDArray[np.float64], targets: NDArray[np.float32], task: Task) -> Calibration:
    """The temperature of least log loss on tune.

    Targets are as sure as so many rows allow (Platt 1999): of rows that are all right nobody knows that the next one
    will be, and the temperature would fall to its least value.

    Args:
        logits: (N, K) of tune, corrected as they will be served.
        targets: (N, K), 1 where a class applies.
        task: one label a picture, or several; then the loss is that of each label.
    """
    rows, wanted = torch.from_numpy(logits), torch.from_numpy(_no_surer_than_known(targets, task)).double()
    kind: LossKind = "binary" if task == "multi_label" else "cross_entropy"
    loss = plain_loss(logits.shape[1], kind)

    def log_loss(log_temperature: float) -> float:
        return float(row_losses(loss, rows / np.exp(log_temperature), wanted).mean())

    bounds = (float(np.log(_LEAST_TEMPERATURE)), float(np.log(_LARGEST_TEMPERATURE)))
    found = minimize_scalar(log_loss, bounds=bounds, method="bounded")
    before, after = log_loss(0.0), float(found.fun)
    # The search ends beside the best value; what was there already is not given up for that.
    temperature = float(np.exp(found.x)) if after < before else 1.0
    return Calibration(temperature=temperature, log_loss_before=before, log_loss_after=min(before, after))


def _no_surer_than_known(targets: NDArray[np.float32], task: Task) -> NDArray[np.float64]:
    """(N, K) targets that leave one row in N + 2 to chance."""
    rows, count = targets.shape
    doubt = 1 / (rows + 2)
    others = 1 if task == "multi_label" else max(count - 1, 1)
    return np.asarray(targets * (1 - doubt) + (1 - targets) * doubt / others, dtype=np.float64)
