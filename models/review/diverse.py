"""Choosing pictures that tell a model most: it is unsure of them, and they are unlike each other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_LEAST = 1e-12


def unsure_and_diverse(doubt: Floats, embeddings: NDArray[np.float32], count: int, shortlist: int) -> NDArray[np.int64]:
    """Positions of `count` rows, the first to be asked about first.

    From the rows of most doubt, `shortlist` times as many as are wanted, one is taken after the other: the one with the
    greatest product of doubt and distance to all that are taken. Doubt alone asks about the same thing again and again
    (Citovsky et al., arXiv 2107.14263).

    Args:
        doubt: (N,) above 0; the larger, the less sure.
        embeddings: (N, D).
        count: of rows that are wanted.
        shortlist: at least 1.
    """
    kept = np.argsort(-doubt, kind="stable")[: count * shortlist]
    if not len(kept):
        return np.zeros(0, dtype=np.int64)
    rows = embeddings[kept].astype(np.float64)
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), _LEAST)
    taken = [0]
    nearest = _distance(rows, 0)
    for _ in range(min(count, len(kept)) - 1):
        worth = doubt[kept] * nearest
        worth[taken] = -1.0
        best = int(worth.argmax())
        taken.append(best)
        nearest = np.minimum(nearest, _distance(rows, best))
    return np.asarray(kept[taken], dtype=np.int64)


def doubt_of(probabilities: Floats) -> Floats:
    """(N,) in 0..1: how near the second class is to the best one, of (N, K) probabilities."""
    best = -np.partition(-probabilities, 1, axis=1)[:, :2]
    return np.asarray(1 - (best[:, 0] - best[:, 1]))


def _distance(rows: Floats, place: int) -> Floats:
    """(N,) Euclidean distances of rows of length 1 to one of them."""
    return np.asarray(np.sqrt(np.maximum(2 - 2 * rows @ rows[place], 0.0)))
