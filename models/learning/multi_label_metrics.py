"""Scores of pictures with several labels: each label is a yes or no of its own, and counts carry all but rankings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from models.artifacts.records import ClassScore, Interval, LabelCounts, ReliabilityBin, Scores
from models.errors import ShapeError
from models.learning.metrics import BOOTSTRAP_ROUNDS, OBJECTIVES, calibration_error, score_bins

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
Flags = NDArray[np.bool_]
DECISION = 0.5
# Rounds drawn together: bounds the memory where hardly two pictures are alike.
_BLOCK = 100


def given_labels(probabilities: NDArray[np.floating]) -> Flags:
    """Which labels a model gives; its thresholds are inside the probabilities, so the limit is always 0.5."""
    return np.asarray(probabilities >= DECISION)


def label_counts(targets: Flags, predicted: Flags) -> Counts:
    """Decisions about each label, counted.

    Args:
        targets: (N, K), whether a label applies.
        predicted: (N, K), whether it was given; same pictures and labels.

    Returns:
        (K, 4): true positives, false positives, false negatives, true negatives; each row sums to N.

    Raises:
        ShapeError: the two differ in shape.

    Example:
        >>> label_counts(np.array([[True], [False]]), np.array([[True], [True]])).tolist()
        [[1, 1, 0, 0]]
    """
    return np.asarray(_row_counts(targets, predicted).sum(0)[:-1].reshape(-1, 4), dtype=np.int64)


def label_values(counts: Counts | Floats, name: str) -> Floats:
    """(...) the named objective of each label from its counts (..., 4).

    `accuracy` is the share of right decisions; `balanced_accuracy` averages the recalls of those sides, with the label
    and without, that have a picture, as scikit-learn does; anything else is F1, 0 where a label is neither present
    nor predicted.
    """
    true_yes, false_yes, false_no, true_no = np.moveaxis(np.asarray(counts, dtype=np.float64), -1, 0)
    with_label, without_label = true_yes + false_no, true_no + false_yes
    if name == "accuracy":
        return _ratio(true_yes + true_no, with_label + without_label)
    if name == "balanced_accuracy":
        sides = (with_label > 0).astype(np.float64) + (without_label > 0)
        return _ratio(_ratio(true_yes, with_label) + _ratio(true_no, without_label), sides)
    return _ratio(2 * true_yes, 2 * true_yes + false_yes + false_no)


def multi_label_objective(targets: Flags, predicted: Flags, name: str) -> float:
    """The named objective of decisions (N, K): the mean over labels, but for `accuracy`.

    That is the share of pictures whose whole set of labels is right.
    """
    return float(_objective(_row_counts(targets, predicted).sum(0), name))


def paired_gain(targets: Flags, better: Flags, worse: Flags, seed: int, rounds: int = BOOTSTRAP_ROUNDS) -> Interval:
    """Balanced accuracy of `better` less that of `worse`, both (N, K), with its paired 95 % interval (in -1..1)."""
    name = "balanced_accuracy"
    left, right = _resampled(targets, (better, worse), np.random.default_rng(seed), rounds)
    low, high = np.quantile(_objective(left, name) - _objective(right, name), [0.025, 0.975])
    value = multi_label_objective(targets, better, name) - multi_label_objective(targets, worse, name)
    return Interval(value=value, low=float(low), high=float(high))


def score_multi_label(targets: Flags, probabilities: Floats, classes: tuple[str, ...], seed: int) -> Scores:
    """All numbers of one set of predictions.

    Args:
        targets: (N, K), whether a label applies.
        probabilities: (N, K), each in 0..1 by itself.
        classes: K names.
        seed: of the bootstrap.
    """
    predicted = given_labels(probabilities)
    counts = label_counts(targets, predicted)
    picked = np.where(targets, probabilities, 1 - probabilities)
    return Scores(
        rows=len(targets),
        **_intervals(targets, predicted, seed),
        log_loss=float(-np.log(np.clip(picked, 1e-15, 1)).mean()),
        calibration_error=calibration_error(label_reliability(targets, probabilities)),
        per_class=tuple(_class_score(row, name) for row, name in zip(counts.tolist(), classes, strict=True)),
        confusion=(),
        label_counts=tuple(_label_counts(row, name) for row, name in zip(counts.tolist(), classes, strict=True)),
        mean_average_precision=mean_average_precision(targets, probabilities),
    )


def label_reliability(targets: Flags, probabilities: Floats) -> tuple[ReliabilityBin, ...]:
    """All N * K scores in bins, against the share of those labels that apply."""
    return score_bins(probabilities.ravel(), targets.ravel())


def mean_average_precision(targets: Flags, probabilities: Floats) -> float | None:
    """Mean over the labels that some picture has of the area under the steps of precision by recall."""
    found = [_average_precision(targets[:, k], probabilities[:, k]) for k in np.flatnonzero(targets.any(0)).tolist()]
    return float(np.mean(found)) if found else None


def _average_precision(applies: Flags, scores: Floats) -> float:
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)  # equal scores are one step
    hits = np.cumsum(applies[order])[ends]
    return float((np.diff(hits, prepend=0) * hits / (ends + 1)).sum() / hits[-1])


def _intervals(targets: Flags, predicted: Flags, seed: int) -> dict[str, Interval]:
    (samples,) = _resampled(targets, (predicted,), np.random.default_rng(seed), BOOTSTRAP_ROUNDS)
    found = {}
    for name in OBJECTIVES:
        low, high = np.quantile(_objective(samples, name), [0.025, 0.975])
        value = multi_label_objective(targets, predicted, name)
        found[name] = Interval(value=value, low=float(low), high=float(high))
    return found


def _resampled(
    targets: Flags, predictions: Sequence[Flags], rng: np.random.Generator, rounds: int
) -> tuple[Floats, ...]:
    """Sums (rounds, 4K + 1) of `_row_counts` over bootstrap samples, one array a prediction, of the same draws.

    Pictures that are alike in all their flags are drawn together, which is the same distribution and far less work.
    """
    alike, times = np.unique(np.concatenate([targets, *predictions], axis=1), axis=0, return_counts=True)
    true, *parts = np.split(alike, len(predictions) + 1, axis=1)
    rows = np.concatenate([_row_counts(true, part) for part in parts], axis=1).astype(np.float64)
    samples = np.concatenate([draws @ rows for draws in _draws(times, rng, rounds)])
    return tuple(np.split(samples, len(parts), axis=1))


def _draws(times: Counts, rng: np.random.Generator, rounds: int) -> Iterator[Counts]:
    for start in range(0, rounds, _BLOCK):
        yield rng.multinomial(times.sum(), times / times.sum(), size=min(_BLOCK, rounds - start))


def _row_counts(targets: Flags, predicted: Flags) -> Flags:
    """(N, 4K + 1) per row: which of the four each label is, and whether all labels are right."""
    if targets.shape != predicted.shape or targets.ndim != 2:
        raise ShapeError(
            f"true labels of shape {targets.shape} and predicted ones of shape {predicted.shape}",
            "one shape, (pictures, labels)",
            "Pass the rows of one table.",
        )
    kinds = np.stack([targets & predicted, ~targets & predicted, targets & ~predicted, ~targets & ~predicted], axis=2)
    whole = (targets == predicted).all(1, keepdims=True)
    return np.concatenate([kinds.reshape(len(targets), 4 * targets.shape[1]), whole], axis=1)


def _objective(sums: Counts | Floats, name: str) -> Floats:
    """The objective of sums (..., 4K + 1) of `_row_counts`."""
    counts = sums[..., :-1].reshape(*sums.shape[:-1], -1, 4)
    if name == "accuracy":
        return _ratio(sums[..., -1], counts[..., 0, :].sum(-1))
    return np.asarray(label_values(counts, name).mean(-1))


def _ratio(part: Counts | Floats, whole: Counts | Floats) -> Floats:
    part, whole = np.asarray(part, dtype=np.float64), np.asarray(whole, dtype=np.float64)
    return np.asarray(np.divide(part, whole, out=np.zeros_like(part), where=whole > 0))


def _class_score(counts: list[int], label: str) -> ClassScore:
    true_yes, false_yes, false_no, _ = counts
    support, predicted = true_yes + false_no, true_yes + false_yes
    return ClassScore(
        label=label,
        support=support,
        precision=true_yes / predicted if predicted else None,
        recall=true_yes / support if support else None,
        f1=2 * true_yes / (support + predicted) if support + predicted else None,
    )


def _label_counts(counts: list[int], label: str) -> LabelCounts:
    true_yes, false_yes, false_no, true_no = counts
    return LabelCounts(
        label=label,
        true_positives=true_yes,
        false_positives=false_yes,
        false_negatives=false_no,
        true_negatives=true_no,
    )
