"""Scores from probabilities, with bootstrap intervals; the counts of a confusion matrix carry all of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.artifacts.records import ClassScore, Interval, ReliabilityBin, Scores
from models.errors import ShapeError

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
BOOTSTRAP_ROUNDS = 1000
_COMPARED_ROUNDS = 200
OBJECTIVES = ("macro_f1", "balanced_accuracy", "accuracy")


def confusion_counts(true_index: NDArray[np.int64], predicted_index: NDArray[np.int64], class_count: int) -> Counts:
    """Counts of every (true, predicted) pair.

    Args:
        true_index: (N,), class positions 0..class_count-1.
        predicted_index: (N,), same order of pictures as `true_index`.
        class_count: K, at least 1.

    Returns:
        (K, K), row = true class, column = predicted class; sums to N.

    Raises:
        ShapeError: the two arrays differ in length, or an index is outside 0..K-1.

    Example:
        >>> confusion_counts(np.array([0, 1]), np.array([0, 0]), 2).tolist()
        [[1, 0], [1, 0]]
    """
    both = np.concatenate([true_index, predicted_index])
    if len(true_index) != len(predicted_index) or (both.size and not 0 <= both.min() <= both.max() < class_count):
        raise ShapeError(
            f"{len(true_index)} true and {len(predicted_index)} predicted classes",
            f"equally many, all in 0..{class_count - 1}",
            "Pass the rows of one table.",
        )
    pairs = np.bincount(true_index * class_count + predicted_index, minlength=class_count**2)
    return np.asarray(pairs.reshape(class_count, class_count), dtype=np.int64)


def objective_value(confusion: NDArray[np.int64] | Floats, name: str) -> Floats:
    """The named objective of one (K, K) or many (..., K, K) confusion matrices.

    `macro_f1` counts a class that is neither present nor predicted as 0, as scikit-learn does with
    `zero_division=0`; `balanced_accuracy` averages over the classes that are present.
    """
    counts = np.asarray(confusion, dtype=np.float64)
    right = np.diagonal(counts, axis1=-2, axis2=-1)
    support, predicted = counts.sum(-1), counts.sum(-2)
    if name == "accuracy":
        return np.asarray(right.sum(-1) / np.maximum(support.sum(-1), 1))
    if name == "balanced_accuracy":
        recall = np.divide(right, support, out=np.zeros_like(right), where=support > 0)
        return np.asarray(recall.sum(-1) / np.maximum((support > 0).sum(-1), 1))
    both = support + predicted
    return np.asarray(np.divide(2 * right, both, out=np.zeros_like(right), where=both > 0).mean(-1))


def resampled_confusions(confusion: Counts, rng: np.random.Generator, rounds: int = BOOTSTRAP_ROUNDS) -> Counts:
    """(rounds, K, K) confusion matrices of bootstrap samples, drawn within each true class.

    Drawing rows with replacement and counting pairs is drawing the counts from a multinomial.
    """
    rows = [
        rng.multinomial(row.sum(), row / max(row.sum(), 1), size=rounds)
        if row.sum()
        else np.zeros((rounds, len(row)), dtype=np.int64)
        for row in confusion
    ]
    return np.stack(rows, axis=1)


def resampled_objectives(
    true_index: NDArray[np.int64], predicted: NDArray[np.int64], class_count: int, name: str, rng: np.random.Generator
) -> Floats:
    """(T, 200) named objective of T predictions on bootstrap samples of the rows, the same samples for all.

    Rows are drawn over all classes: a class of two pictures is then often absent, and what it says counts as little
    as it should.

    Args:
        true_index: (N,) class positions.
        predicted: (T, N) class positions.
        class_count: K.
        name: of the objective.
        rng: draws the samples.
    """
    pairs, size = true_index * class_count + predicted, len(true_index)
    values = []
    for _ in range(_COMPARED_ROUNDS):
        rows = rng.integers(size, size=size)
        counts = np.array([np.bincount(row[rows], minlength=class_count**2) for row in pairs])
        values.append(objective_value(counts.reshape(-1, class_count, class_count), name))
    return np.array(values).T


def objective_error(confusion: Counts, name: str, rng: np.random.Generator) -> float:
    """Standard error of the named objective: its spread where each class's row of counts is drawn from what it tells.

    Rows come from Dirichlet distributions with half a right and half a wrong picture added (Jeffreys' prior for two
    outcomes), so that one picture that is named rightly does not pass for certainty.
    """
    count = len(confusion)
    prior = np.full((count, count), 0.5 / max(count - 1, 1))
    np.fill_diagonal(prior, 0.5)
    shares = rng.gamma(np.tile(confusion + prior, (_COMPARED_ROUNDS, 1, 1)))
    shares *= confusion.sum(1)[:, None] / shares.sum(-1, keepdims=True)
    return float(objective_value(shares, name).std())


def score_predictions(
    true_index: NDArray[np.int64], probabilities: Floats, classes: tuple[str, ...], seed: int
) -> Scores:
    """All numbers of one set of predictions.

    Args:
        true_index: (N,) class positions.
        probabilities: (N, K), rows sum to 1.
        classes: K names.
        seed: of the bootstrap.
    """
    confusion = confusion_counts(true_index, probabilities.argmax(1), len(classes))
    samples = resampled_confusions(confusion, np.random.default_rng(seed))
    intervals = {}
    for name in OBJECTIVES:
        low, high = np.quantile(objective_value(samples, name), [0.025, 0.975])
        intervals[name] = Interval(value=float(objective_value(confusion, name)), low=float(low), high=float(high))
    picked = probabilities[np.arange(len(true_index)), true_index]
    return Scores(
        rows=len(true_index),
        **intervals,
        log_loss=float(-np.log(np.clip(picked, 1e-15, 1)).mean()),
        calibration_error=calibration_error(reliability_bins(true_index, probabilities)),
        per_class=tuple(_class_score(confusion, k, name) for k, name in enumerate(classes)),
        confusion=tuple(tuple(int(c) for c in row) for row in confusion),
    )


def reliability_bins(
    true_index: NDArray[np.int64], probabilities: Floats, bin_count: int = 15
) -> tuple[ReliabilityBin, ...]:
    """Rows grouped by top score into bins of equal width; empty bins are left out."""
    return score_bins(probabilities.max(1), probabilities.argmax(1) == true_index, bin_count)


def score_bins(top: Floats, right: NDArray[np.bool_], bin_count: int = 15) -> tuple[ReliabilityBin, ...]:
    """Scores (N,) in 0..1, and whether each was right, in bins of equal width; empty bins are left out."""
    position = np.minimum((top * bin_count).astype(int), bin_count - 1)
    return tuple(
        ReliabilityBin(
            low=b / bin_count,
            high=(b + 1) / bin_count,
            rows=int(inside.sum()),
            mean_score=float(top[inside].mean()),
            share_right=float(right[inside].mean()),
        )
        for b in range(bin_count)
        if (inside := position == b).any()
    )


def calibration_error(bins: tuple[ReliabilityBin, ...]) -> float:
    """Expected calibration error (Naeini et al. 2015): mean gap of score and share right, weighted by rows."""
    total = sum(b.rows for b in bins)
    return sum(b.rows * abs(b.mean_score - b.share_right) for b in bins) / max(total, 1)


def _class_score(confusion: Counts, position: int, label: str) -> ClassScore:
    right = int(confusion[position, position])
    support, predicted = int(confusion[position].sum()), int(confusion[:, position].sum())
    return ClassScore(
        label=label,
        support=support,
        precision=right / predicted if predicted else None,
        recall=right / support if support else None,
        f1=2 * right / (support + predicted) if support + predicted else None,
    )
