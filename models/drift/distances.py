"""Distances of two samples, and what chance makes of them at their own numbers of rows.

Both samples are counts over the same atoms. Under no drift they come from one distribution, estimated by both together;
redrawing both gives the distances that chance makes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
# Of two (..., M) arrays of shares over the same atoms: (...).
Distance = Callable[[Floats, Floats], Floats]
# Numbers are compared on so many steps: finer ones would cost time and tell nothing.
_STEPS = 128


class Counts(NamedTuple):
    """Rows of a reference and of a batch over the same atoms, (M,) each; of numbers in their order."""

    reference: Floats
    batch: Floats


class Compared(NamedTuple):
    """A distance, 0..1; (R,) those that chance makes; and how often chance makes one as large."""

    distance: float
    by_chance: Floats
    p_value: float


def number_counts(reference: Floats, batch: Floats, weights: Floats | None = None) -> Counts:
    """Counts over steps that hold about as many rows each; rows without a number are left out.

    Args:
        reference: (N,) values.
        batch: (M,) values.
        weights: (N,) how often each row of the reference counts; None: once.
    """
    weights = np.ones(len(reference)) if weights is None else weights
    is_there = np.isfinite(reference)
    reference, weights, batch = reference[is_there], weights[is_there], batch[np.isfinite(batch)]
    both = np.sort(np.concatenate([reference, batch]))
    edges = np.unique(both[np.linspace(0, len(both) - 1, min(_STEPS, len(both))).astype(int)])
    inside = np.searchsorted(edges, reference, "left"), np.searchsorted(edges, batch, "left")
    size = len(edges) + 1
    left, right = np.bincount(inside[0], weights, size), np.bincount(inside[1], minlength=size)
    return Counts(left.astype(np.float64), right.astype(np.float64))


def value_counts(reference: Sequence[str], batch: Sequence[str], weights: Floats | None = None) -> Counts:
    """Counts of each value."""
    names = {name: k for k, name in enumerate(sorted({*reference, *batch}))}
    left, right = (np.array([names[v] for v in values], dtype=np.int64) for values in (reference, batch))
    return Counts(
        np.bincount(left, weights, len(names)).astype(np.float64),
        np.bincount(right, minlength=len(names)).astype(np.float64),
    )


def kolmogorov_smirnov(left: Floats, right: Floats) -> Floats:
    """Largest gap between two distributions of numbers."""
    return np.asarray(np.abs(np.cumsum(left - right, axis=-1)).max(-1))


def total_variation(left: Floats, right: Floats) -> Floats:
    """Share of rows that would have to change their value."""
    return np.asarray(np.abs(left - right).sum(-1) / 2)


def compare(counts: Counts, distance: Distance, rounds: int, rng: np.random.Generator) -> Compared:
    """A distance beside those of two samples of the same sizes that differ by chance alone.

    A weighted reference counts as so many rows as its weights are worth (Kish): the caller has scaled it so.
    """
    sizes = [max(float(side.sum()), 1.0) for side in counts]
    shares = [side / size for side, size in zip(counts, sizes, strict=True)]
    pooled = (counts.reference + counts.batch) / (counts.reference.sum() + counts.batch.sum())
    drawn = [rng.multinomial(round(size), pooled, size=rounds) / round(size) for size in sizes]
    found, by_chance = float(distance(*shares)), distance(*drawn)
    # Rounding of shares must not make a tie a surprise.
    p_value = (1 + int((by_chance >= found - 1e-12).sum())) / (rounds + 1)
    return Compared(found, by_chance, p_value)


def rejected(p_values: Sequence[float], share: float) -> list[bool]:
    """Which hypotheses fall while at most `share` of samples lose a true one (Holm, 1979)."""
    order = np.argsort(p_values, kind="stable")
    fallen = [False] * len(order)
    for rank, k in enumerate(order.tolist()):
        if p_values[k] > share / (len(order) - rank):
            break
        fallen[k] = True
    return fallen
