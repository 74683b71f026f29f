"""Whether a loss on some pictures can be chance, for one set of them and for many sets at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Positions = NDArray[np.int64]


def chance_of_loss(lost: Positions, unit: Positions) -> float:
    """Probability of such a loss or a larger one if the two models were equally good: exact, one-sided, paired.

    Which of the two models gave which answers of a group is as good as a coin then. For rows without groups this is
    McNemar's exact test.

    Args:
        lost: (M,) 1 where only the champion is right, -1 where only the candidate is, else 0.
        unit: (M,) number of the group of each row.
    """
    of_unit = np.bincount(np.unique(unit, return_inverse=True)[1], weights=lost).round().astype(np.int64)
    changed = of_unit[of_unit != 0]
    chances = np.ones(1)
    for size, times in zip(*(part.tolist() for part in np.unique(np.abs(changed), return_counts=True)), strict=True):
        steps = np.zeros(size * times + 1)
        steps[::size] = _coin_tosses(times)
        chances = np.convolve(chances, steps)
    return float(min(chances[int(changed[changed > 0].sum()) :].sum(), 1.0))


def rejected_by_holm(chances: Floats, level: float) -> NDArray[np.bool_]:
    """(M,) hypotheses that are rejected so that any false rejection has at most the chance `level` (Holm 1979)."""
    order = np.argsort(chances, kind="stable")
    kept = chances[order] <= level / np.arange(len(chances), 0, -1)
    rejected = np.zeros(len(chances), dtype=np.bool_)
    rejected[order[: int(np.cumprod(kept).sum())]] = True
    return rejected


def _coin_tosses(count: int) -> Floats:
    """(count + 1,) probability of 0 to `count` heads."""
    log_factorial = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, count + 1)))])
    return np.asarray(np.exp(log_factorial[-1] - log_factorial - log_factorial[::-1] - count * np.log(2)))
