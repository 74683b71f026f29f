"""The scorecard of a model that gives a picture several labels."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from models.artifacts.records import Mistake, ModelCard, Scorecard, SliceScore
from models.data.split import NO_CLASS, TEST
from models.learning.correction import served_offset, without_offset_of
from models.learning.evaluation_rows import Slice, label_arrays, slices_of
from models.learning.multi_label_metrics import (
    given_labels,
    label_counts,
    label_reliability,
    label_values,
    multi_label_objective,
    score_multi_label,
)

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


def make_multi_label_scorecard(evaluation: pa.Table, card: ModelCard, seed: int, mistake_count: int) -> Scorecard:
    """All numbers of a model on the rows of `evaluation`, with its thresholds and at 0.5 of what it learned."""
    targets, probabilities = label_arrays(evaluation, card.classes)
    raw = without_offset_of(card.task, probabilities, served_offset(card))
    predicted = given_labels(probabilities)
    return Scorecard(
        model_name=card.name,
        task=card.task,
        split=TEST,
        classes=card.classes,
        served=score_multi_label(targets, probabilities, card.classes, seed),
        uncorrected=score_multi_label(targets, raw, card.classes, seed),
        slices=tuple(_slice_score(part, targets, predicted) for part in slices_of(evaluation)),
        reliability=label_reliability(targets, probabilities),
        worst_mistakes=_worst_mistakes(evaluation, targets, probabilities, card.classes)[:mistake_count],
    )


def _slice_score(part: Slice, targets: Flags, predicted: Flags) -> SliceScore:
    """Numbers of one slice; labels that are neither present nor predicted in it do not count."""
    targets, predicted = targets[part.inside], predicted[part.inside]
    counts = label_counts(targets, predicted)
    told = counts[:, :3].any(1)
    counts = counts[told] if told.any() else counts
    return SliceScore(
        column=part.column,
        value=part.value,
        rows=len(targets),
        accuracy=multi_label_objective(targets, predicted, "accuracy"),
        balanced_accuracy=float(label_values(counts, "balanced_accuracy").mean()),
        macro_f1=float(label_values(counts, "macro_f1").mean()),
    )


def _worst_mistakes(
    evaluation: pa.Table, targets: Flags, probabilities: Floats, classes: tuple[str, ...]
) -> tuple[Mistake, ...]:
    """Pictures with a wrong decision, those with the most probability on the wrong side first."""
    predicted = given_labels(probabilities)
    mass = np.abs(targets - probabilities).sum(1)
    wrong = np.flatnonzero((predicted != targets).any(1))
    paths = evaluation["path"].to_pylist()
    return tuple(
        Mistake(
            path=paths[k],
            label=_names(targets[k], classes),
            predicted=_names(predicted[k], classes),
            score=float(mass[k]),
        )
        for k in wrong[np.argsort(-mass[wrong], kind="stable")].tolist()
    )


def _names(flags: Flags, classes: tuple[str, ...]) -> str:
    return ", ".join(classes[k] for k in np.flatnonzero(flags).tolist()) or NO_CLASS
