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

    Args:
        logits: (N, K) of tune, corrected as they will be served.
        targets: (N, K), 1 where a class applies.
        task: one label a picture, or several; then the loss is that of each label.
    """
    rows, wanted = torch.from_numpy(logits), torch.from_numpy(targets).double()
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
