"""Whether a picture is like those that were learned from: distance to them, and energy, as one number.

Distance is that to the k-th nearest of a bank of training pictures, by the cosine of embeddings (Sun et al., arXiv
2204.06507); energy is minus the log of the summed exponents of the logits (Liu et al., arXiv 2010.03759). Neither wins
everywhere, so each is put on one scale by pictures of known classes, and the worse of the two counts.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_LEAST_SPREAD = 1e-6


class ForeignScale(NamedTuple):
    """What makes one number of distance and energy, in which 1 is the limit.

    Attributes:
        centre: (2,) medians of distance and energy on known pictures.
        spread: (2,) what 1 means of each.
    """

    centre: tuple[float, float]
    spread: tuple[float, float]


def fit_scale(distance: Floats, energy: Floats, false_alarm_rate: float) -> ForeignScale:
    """The scale by which a stated share of known pictures scores above 1.

    Args:
        distance: (N,) of known pictures to the bank.
        energy: (N,) of the same.
        false_alarm_rate: share of them that may be called foreign, 0..1.
    """
    centre, spread = np.empty(2), np.empty(2)
    for k, values in enumerate((distance, energy)):
        centre[k] = np.median(values)
        spread[k] = max(float(np.quantile(values, 1 - false_alarm_rate)) - centre[k], _LEAST_SPREAD)
    worse = np.maximum((distance - centre[0]) / spread[0], (energy - centre[1]) / spread[1])
    # Two chances of an alarm are more than one.
    limit = max(float(np.quantile(worse, 1 - false_alarm_rate)), _LEAST_SPREAD)
    return ForeignScale((float(centre[0]), float(centre[1])), (float(spread[0] * limit), float(spread[1] * limit)))


def bank_positions(label_index: NDArray[np.int64], most_rows: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Rows for a bank: classes take turns, so that rare ones are there; sorted positions.

    Args:
        label_index: (N,) class positions of the training pictures; of several labels a picture any one.
        most_rows: of the bank.
        rng: draws within a class.
    """
    order = rng.permutation(len(label_index))
    turn = np.empty(len(order), dtype=np.int64)
    for k in np.unique(label_index):
        inside = order[label_index[order] == k]
        turn[inside] = np.arange(len(inside))
    return np.sort(np.lexsort((np.arange(len(turn)), turn))[:most_rows])
