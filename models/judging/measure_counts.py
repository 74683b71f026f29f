"""Scores of answers from three sums a class, for many bootstrap samples at once; NaN where a sample has none.

The sums are those of a confusion matrix: its diagonal, its rows and its columns. More is not needed, and a matrix a
sample would be large where classes are many.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Floats = NDArray[np.float64]
Positions = NDArray[np.int64]


class Answers(NamedTuple):
    """What is true and what was said of N pictures, as positions 0..class_count-1."""

    true_index: Positions
    predicted: Positions
    class_count: int


class Tally(NamedTuple):
    """Sums of each class in each sample, each (K, R): pictures of it, named it, and both."""

    support: Floats
    predicted: Floats
    right: Floats


def ratio(part: Floats, whole: Floats) -> Floats:
    """`part / whole`, NaN where the whole is 0 or less or not a number."""
    part, whole = np.broadcast_arrays(part, whole)
    return np.asarray(np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0))


def sums_by(place: Positions, count: int, values: Floats, rows: Positions, weights: Floats) -> Floats:
    """(count, R) sums of `values` times their weights by place.

    Args:
        place: (M,) 0..count-1.
        count: of the places.
        values: (M,).
        rows: (M,) of `weights` that the values are of.
        weights: (N, R).
    """
    return np.asarray(sparse.csr_array((values, (place, rows)), shape=(count, len(weights))) @ weights)


def tally_of(answers: Answers, weights: Floats, rows: Positions | None = None) -> Tally:
    """Sums of all pictures, or of those at `rows`."""
    rows = np.arange(len(weights)) if rows is None else rows
    true_index, predicted, count = answers.true_index[rows], answers.predicted[rows], answers.class_count
    ones, is_right = np.ones(len(rows)), true_index == predicted
    return Tally(
        sums_by(true_index, count, ones, rows, weights),
        sums_by(predicted, count, ones, rows, weights),
        sums_by(true_index[is_right], count, ones[is_right], rows[is_right], weights),
    )


def precision(tally: Tally) -> Floats:
    """(K, R) share of the pictures named a class that are of it."""
    return ratio(tally.right, tally.predicted)


def recall(tally: Tally) -> Floats:
    """(K, R) share of the pictures of a class that are named it."""
    return ratio(tally.right, tally.support)


def f1(tally: Tally) -> Floats:
    """(K, R) harmonic mean of both; NaN where a class is neither present nor named."""
    return ratio(2 * tally.right, tally.support + tally.predicted)


def accuracy(tally: Tally) -> Floats:
    """(R,) share of the pictures that are right."""
    return ratio(tally.right.sum(0), tally.support.sum(0))


def mean_of_told(values: Floats) -> Floats:
    """(R,) means over the rows of (M, R) that are no NaN."""
    return ratio(np.nansum(values, axis=0), (~np.isnan(values)).sum(0).astype(np.float64))


def balanced_accuracy(tally: Tally) -> Floats:
    """(R,) mean recall of the classes that are present."""
    return mean_of_told(recall(tally))


def macro_f1(tally: Tally) -> Floats:
    """(R,) mean F1 of all classes; one that is neither present nor named counts 0, as in scikit-learn."""
    return np.asarray(np.nan_to_num(f1(tally)).sum(0) / len(tally.support))


def macro_f1_of_told(tally: Tally) -> Floats:
    """(R,) mean F1 of the classes that are present or named."""
    return mean_of_told(f1(tally))


def weighted_f1(tally: Tally) -> Floats:
    """(R,) mean F1, each class counting as many times as it has pictures."""
    return ratio((np.nan_to_num(f1(tally)) * tally.support).sum(0), tally.support.sum(0))
