"""Does a property that should not matter give the class away? Then a model would learn that instead."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

NO_CLASS = -1


class Shortcut(NamedTuple):
    """How well one property tells one class from all others: AUC, 0.5 not at all, 1 perfectly."""

    property_name: str
    class_index: int
    auc: float


def property_shortcuts(
    numbers: Mapping[str, NDArray[np.float64]],
    categories: Mapping[str, NDArray[np.int64]],
    class_index: NDArray[np.int64],
    min_rows: int,
) -> list[Shortcut]:
    """The class that each property tells best, best first.

    A number is judged by the area under the ROC curve of its rank, whichever way it points; a category by that of
    the share of the class in it. Classes of fewer than `min_rows` rows, or that leave fewer, are not judged: they
    can be told apart by chance.

    Args:
        numbers: (N,) of each property; NaN where it is unknown.
        categories: (N,) code of each property, 0 or more.
        class_index: (N,) class of each row.
        min_rows: fewest rows of a class, and of all others.
    """
    counts = np.bincount(class_index)
    judged = np.flatnonzero((counts >= min_rows) & (len(class_index) - counts >= min_rows))
    found = []
    for name, values in numbers.items():
        aucs = rank_aucs(np.nan_to_num(values, nan=-np.inf), class_index, len(counts))
        found += _best(name, np.maximum(aucs, 1 - aucs), judged)
    for name, codes in categories.items():
        joint = np.zeros((int(codes.max(initial=0)) + 1, len(counts)))
        np.add.at(joint, (codes, class_index), 1)
        share = joint / np.maximum(joint.sum(1, keepdims=True), 1)
        aucs = np.full(len(counts), 0.5)
        for k in judged.tolist():
            aucs[k] = rank_aucs(share[codes, k], (class_index == k).astype(np.int64), 2)[1]
        found += _best(name, aucs, judged)
    return sorted(found, key=lambda shortcut: (-shortcut.auc, shortcut.property_name))


def rank_aucs(values: NDArray[np.float64], class_index: NDArray[np.int64], class_count: int) -> NDArray[np.float64]:
    """(K,) area under the ROC curve of `values` for each class against the rest (Mann-Whitney, ties count half)."""
    _, codes, tied = np.unique(values, return_inverse=True, return_counts=True)
    rank = (np.cumsum(tied) - (tied - 1) / 2)[codes]
    rows = np.bincount(class_index, minlength=class_count).astype(np.float64)
    rest = len(values) - rows
    wins = np.bincount(class_index, rank, class_count) - rows * (rows + 1) / 2
    return np.asarray(np.divide(wins, rows * rest, out=np.full(class_count, 0.5), where=rows * rest > 0))


def _best(name: str, aucs: NDArray[np.float64], judged: NDArray[np.intp]) -> list[Shortcut]:
    if not len(judged):
        return []
    best = int(judged[np.argmax(aucs[judged])])
    return [Shortcut(name, best, float(aucs[best]))]
