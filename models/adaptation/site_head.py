"""The few numbers that a site's labels teach: one linear layer beside the champion's own logits.

Multinomial logistic regression with the champion's logits as an offset, and a squared penalty on the layer: where the
champion is linear, that is the penalty on what the site's head differs from the champion's by.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize, minimize_scalar
from scipy.special import log_softmax

Floats = NDArray[np.float64]
_STEPS = 200
_LEAST_SQUARE = 1e-10
# How far the logarithm of a temperature is expected from 0 before any row was seen.
_LOG_TEMPERATURE_SD = 0.7
_MOST_LOG_TEMPERATURE = 3.0


class Rows(NamedTuple):
    """Labelled pictures of a site.

    Attributes:
        features: (N, D) of mean 0 and deviation 1 among the pictures that the champion learned from, or the site's.
        base_logits: (N, K) of the champion for the site's classes; 0 for classes that it does not know.
        class_index: (N,) positions of the true classes.
    """

    features: Floats
    base_logits: Floats
    class_index: NDArray[np.int64]

    def take(self, rows: NDArray[np.int64]) -> Rows:
        """Some of the rows."""
        return Rows(self.features[rows], self.base_logits[rows], self.class_index[rows])

    @property
    def weight(self) -> Floats:
        """(N,) of each row, so that all classes that are there weigh alike; the sum is 1."""
        counts = np.bincount(self.class_index, minlength=self.base_logits.shape[1])
        own = 1 / counts[self.class_index]
        return np.asarray(own / own.sum())


class SiteHead(NamedTuple):
    """What is added to the champion's logits.

    Attributes:
        base_share: of the champion's logits that stays.
        weight: (K, D) on the features.
        bias: (K,)
        temperature: all is divided by it.
    """

    base_share: float
    weight: Floats
    bias: Floats
    temperature: float = 1.0

    def logits(self, rows: Rows) -> Floats:
        """(N, K) logits, before the temperature."""
        return np.asarray(self.base_share * rows.base_logits + rows.features @ self.weight.T + self.bias)


def untaught_head(classes: int, width: int) -> SiteHead:
    """The champion's own logits, of which nothing is changed."""
    return SiteHead(1.0, np.zeros((classes, width)), np.zeros(classes))


def fit_site_head(rows: Rows, base_share: float, penalty: float) -> SiteHead:
    """The layer with the least loss on rows whose classes weigh alike.

    Args:
        rows: at least two.
        base_share: of the champion's logits that stays, 0..1.
        penalty: on the squared weights, a feature.
    """
    classes = rows.base_logits.shape[1]
    basis = _basis(rows.features)
    seen, strength, weight = rows.features @ basis.T, penalty * rows.features.shape[1], rows.weight
    wanted, offset = np.eye(classes)[rows.class_index], base_share * rows.base_logits

    def loss(values: Floats) -> tuple[float, Floats]:
        part, bias = values[:-classes].reshape(-1, classes), values[-classes:]
        told = log_softmax(offset + seen @ part + bias, axis=1)
        gap, pull = weight[:, np.newaxis] * (np.exp(told) - wanted), strength * part
        value = -(weight * (wanted * told).sum(1)).sum() + 0.5 * (part * pull).sum()
        return float(value), np.concatenate([(seen.T @ gap + pull).ravel(), gap.sum(0)])

    start = np.zeros((len(basis) + 1) * classes)
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": _STEPS, "ftol": 1e-7}).x
    return SiteHead(base_share, found[:-classes].reshape(-1, classes).T @ basis, found[-classes:])


def _basis(features: Floats) -> Floats:
    """(R, D) orthonormal rows whose span holds the best layer: that of the features, or the whole space if smaller."""
    count, width = features.shape
    if count > width:
        return np.eye(width)
    squares, directions = np.linalg.eigh(features @ features.T)
    kept = squares > squares.max() * _LEAST_SQUARE
    return np.asarray((directions[:, kept] / np.sqrt(squares[kept])).T @ features)


def prototype_head(rows: Rows) -> SiteHead:
    """The nearest class mean (Mensink et al., IEEE TPAMI 35, 2013), in squared distance a feature."""
    width, classes = rows.features.shape[1], rows.base_logits.shape[1]
    means = np.stack([rows.features[rows.class_index == k].mean(0) for k in range(classes)])
    return SiteHead(0.0, 2 * means / width, -(means**2).sum(1) / width)


def fit_temperature(logits: Floats, rows: Rows) -> float:
    """The temperature at which held-out logits (N, K) are most likely, given that most are near 1."""
    weight, index = rows.weight * len(rows.class_index), np.arange(len(logits))

    def loss(log_temperature: float) -> float:
        told = log_softmax(logits / np.exp(log_temperature), axis=1)[index, rows.class_index]
        return float(-(weight * told).sum() + 0.5 * (log_temperature / _LOG_TEMPERATURE_SD) ** 2)

    bounds = (-_MOST_LOG_TEMPERATURE, _MOST_LOG_TEMPERATURE)
    return float(np.exp(minimize_scalar(loss, bounds=bounds, method="bounded").x))


def row_losses(logits: Floats, rows: Rows, temperature: float) -> Floats:
    """(N,) minus the logarithm of what the true class is given."""
    told = log_softmax(logits / temperature, axis=1)
    return np.asarray(-told[np.arange(len(logits)), rows.class_index])
