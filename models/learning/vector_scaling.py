"""Vector scaling (Guo et al., arXiv 1706.04599, section 4.2): a scale and a bias for each class's logit."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize

from models.learning.losses import LossSettings, row_losses

# How far scales and biases are expected from 1 and 0 before any row was seen: rare classes have few rows to say.
_LOG_SCALE_SD, _BIAS_SD = 0.5, 1.0
FOLDS = 5
Floats = NDArray[np.float64]


class VectorScaling(NamedTuple):
    """(K,) times each class's logits, and (K,) added behind it."""

    scale: Floats
    bias: Floats

    def __call__(self, logits: Floats) -> Floats:
        """(N, K) logits as they become."""
        return np.asarray(logits * self.scale + self.bias)


def fit_vector_scaling(logits: Floats, wanted: Floats, loss: LossSettings) -> VectorScaling:
    """The most likely scales and biases, given the rows and a prior around those that change nothing.

    Args:
        logits: (N, K) without a correction: a bias would take it back.
        wanted: (N, K) targets.
        loss: of each row; a softmax or a binary one.
    """
    rows, targets = torch.from_numpy(logits), torch.from_numpy(wanted)
    count = logits.shape[1]

    def loss_and_slope(values: Floats) -> tuple[float, Floats]:
        given = torch.tensor(values, requires_grad=True)
        log_scale, bias = given[:count], given[count:]
        unlikely = ((log_scale / _LOG_SCALE_SD) ** 2).sum() / 2 + ((bias / _BIAS_SD) ** 2).sum() / 2
        total = row_losses(loss, rows * log_scale.exp() + bias, targets).sum() + unlikely
        torch.autograd.backward(total)
        return float(total.detach()), np.zeros_like(values) if given.grad is None else given.grad.numpy()

    found = minimize(loss_and_slope, np.zeros(2 * count), jac=True, method="L-BFGS-B").x
    return VectorScaling(np.exp(found[:count]), found[count:])


def held_out_rows(targets: NDArray[np.float32], folds: int = FOLDS) -> list[NDArray[np.bool_]]:
    """For each fold (N,) whether a row is held out; classes are spread evenly over folds."""
    order = np.argsort(targets.argmax(1), kind="stable")
    fold = np.empty(len(targets), dtype=np.int64)
    fold[order] = np.arange(len(targets)) % folds
    return [fold == number for number in range(folds)]
