"""Sets of classes that hold the true one in a stated share of the pictures of each class.

Class-conditional split conformal prediction (Vovk 2012, arXiv 1209.2673) on the probability of the class, which is
corrected for the prior already, so that rare classes do not need larger sets only for being rare.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.artifacts.judging_records import ClassThreshold

Floats = NDArray[np.float64]
# Probabilities are compared as float32, in a graph of another machine.
_ROUNDING = 1e-6


def least_rows(coverage: float) -> int:
    """Calibration pictures from which on a class has a threshold below the largest score."""
    return math.ceil(round(1 / (1 - coverage), 9)) - 1


def class_thresholds(
    true_index: NDArray[np.int64], probabilities: Floats, classes: Sequence[str], coverage: float
) -> tuple[ClassThreshold, ...]:
    """What the probability of each class must reach for the class to be in the set.

    A class with too few rows is judged with all others that have too few (the simplest clusters of arXiv 2306.09335);
    where these are too few together, the classes are in every set.

    Args:
        true_index: (N,) class positions.
        probabilities: (N, K), as they are served, of rows that the model has not learned from.
        classes: K names.
        coverage: wanted share, 0..1.
    """
    own = [probabilities[true_index == k, k] for k in range(len(classes))]
    needed = least_rows(coverage)
    rare = [scores for scores in own if len(scores) < needed]
    pooled = np.concatenate([*rare, np.empty(0)])
    found = []
    for label, scores in zip(classes, own, strict=True):
        if len(scores) >= needed:
            found.append(_threshold(label, scores, coverage, is_own=True))
        elif len(pooled) >= needed:
            found.append(_threshold(label, pooled, coverage, is_own=False))
        else:
            found.append(ClassThreshold(label=label, threshold=0.0, rows=len(pooled), basis="not_enough"))
    return tuple(found)


def _threshold(label: str, scores: Floats, coverage: float, *, is_own: bool) -> ClassThreshold:
    """The score that all but a share of 1 - coverage of the rows reach, one row more being on the wrong side."""
    allowed = math.floor(round((len(scores) + 1) * (1 - coverage), 9))
    value = float(np.sort(scores)[allowed - 1])
    return ClassThreshold(
        label=label,
        threshold=max(value - _ROUNDING, 0.0),
        rows=len(scores),
        basis="own" if is_own else "pooled",
    )


def prediction_sets(probabilities: Floats, thresholds: Sequence[ClassThreshold]) -> NDArray[np.bool_]:
    """(N, K) whether a class is in the set of a picture, by (N, K) probabilities; a set may be empty."""
    return np.asarray(probabilities >= np.array([found.threshold for found in thresholds]))
