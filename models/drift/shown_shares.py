"""What a person is shown of a comparison: the shares of a few ranges or values, side by side."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_RANGES, _VALUES = 12, 6


class Shown(NamedTuple):
    """Names of ranges or values, and their shares on both sides."""

    values: tuple[str, ...]
    reference: tuple[float, ...]
    batch: tuple[float, ...]


NOTHING_SHOWN = Shown((), (), ())


def number_shares(reference: Floats, batch: Floats) -> Shown:
    """Shares by ranges of equal width; the outermost also hold the one per cent that lies outside."""
    low, high = np.quantile(np.concatenate([reference, batch]), [0.005, 0.995])
    edges = np.linspace(low, high, _RANGES + 1) if high > low else np.array([low - 0.5, low + 0.5])
    sides = [np.histogram(np.clip(side, edges[0], edges[-1]), edges)[0] / len(side) for side in (reference, batch)]
    names = tuple(f"{left:.3g} to {right:.3g}" for left, right in pairwise(edges))
    return Shown(names, tuple(sides[0].tolist()), tuple(sides[1].tolist()))


def value_shares(reference: list[str], batch: list[str]) -> Shown:
    """Shares of the values whose share changed most."""
    before, now = Counter(reference), Counter(batch)
    shares = {value: (before[value] / len(reference), now[value] / len(batch)) for value in {*before, *now}}
    chosen = sorted(shares, key=lambda value: (-abs(shares[value][0] - shares[value][1]), value))[:_VALUES]
    return Shown(tuple(chosen), tuple(shares[v][0] for v in chosen), tuple(shares[v][1] for v in chosen))
