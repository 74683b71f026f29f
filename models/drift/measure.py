"""How far a scored batch is from the bundle's baseline, and from the batches before it.

A measure alarms only where its distance exceeds a fixed effect size and chance would hardly give it at the batch's own
number of rows, with all measures taken together (Holm). A batch too small to tell says so, never `ok`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from models.artifacts.records import DriftMeasure, DriftReport
from models.drift.batches import NUMBERS, Properties, properties_of, properties_of_baseline
from models.drift.distances import (
    Compared,
    Counts,
    Distance,
    compare,
    kolmogorov_smirnov,
    number_counts,
    rejected,
    total_variation,
    value_counts,
)
from models.drift.settings import DriftSettings
from models.drift.shown_shares import NOTHING_SHOWN, Shown, number_shares, value_shares
from models.drift.without_labels import judge_without_labels
from models.learning.evaluation_rows import probability_rows
from models.serving.bundle import Bundle
from models.serving.class_prior import NO_PRIOR, PriorShift

Floats = NDArray[np.float64]
Against = Literal["baseline", "previous"]
MIX, OUTCOMES = "predicted_class_mix", "outcomes"


class _Question(NamedTuple):
    """One property against one reference; `counts` is None where there are too few rows."""

    name: str
    against: Against
    rows: int
    counts: Counts | None
    distance: Distance
    explanation: str
    shown: Shown = NOTHING_SHOWN


def measure_drift(
    batch: pa.Table,
    bundle: Bundle,
    settings: DriftSettings,
    before: pa.Table | None = None,
    prior: PriorShift = NO_PRIOR,
) -> DriftReport:
    """Distances of the rows of a batch from the pictures that the bundle was judged on, and from rows before.

    Args:
        batch: rows as `batch_rows` gives them.
        bundle: that scored them.
        settings: when a distance counts.
        before: rows of the batches before; None: they are not compared with.
        prior: by which the rows were corrected.
    """
    found = properties_of(batch)
    served = prior.apply(probability_rows(bundle.baseline, len(bundle.card.classes)))
    references: dict[Against, Properties] = {"baseline": properties_of_baseline(bundle, served)}
    if before is not None and before.num_rows:
        references["previous"] = properties_of(before)
    accuracy, mix = judge_without_labels(batch, bundle, settings, prior)
    return DriftReport(
        model_name=bundle.card.name,
        bundle_sha256=bundle.sha256,
        rows=len(found.predicted),
        baseline_rows=bundle.baseline.num_rows,
        previous_rows=len(references["previous"].predicted) if "previous" in references else 0,
        measures=drift_measures(found, references, settings),
        accuracy=accuracy,
        class_mix=mix,
    )


def drift_measures(
    found: Properties, references: Mapping[Against, Properties], settings: DriftSettings
) -> tuple[DriftMeasure, ...]:
    """All measures of a batch against all references, under one share of false alarms."""
    questions = [q for name, other in references.items() for q in _questions(found, other, name, settings.min_rows)]
    return tuple(_judged(questions, settings, np.random.default_rng(settings.seed)))


def _questions(found: Properties, reference: Properties, against: Against, min_rows: int) -> list[_Question]:
    asked = [_number_question(name, found, reference, against, min_rows) for name in NUMBERS]
    asked.append(_value_question(MIX, (reference.predicted, found.predicted), against, min_rows))
    if reference.outcomes:
        asked.append(_value_question(OUTCOMES, (reference.outcomes, found.outcomes), against, min_rows))
    return [question for question in asked if question is not None]


def _number_question(
    name: str, found: Properties, reference: Properties, against: Against, min_rows: int
) -> _Question | None:
    """None where the reference does not know the property: models of before it was measured."""
    left, right = (side[np.isfinite(side)] for side in (reference.numbers[name], found.numbers[name]))
    if not len(left) or (not len(right) and len(found.predicted)):
        return None
    if min(len(left), len(right)) < min_rows:
        return _Question(name, against, len(right), None, kolmogorov_smirnov, _too_few(left, right, min_rows))
    told = f"mean {right.mean():.3g}, {against} {left.mean():.3g}"
    counts, shown = number_counts(left, right), number_shares(left, right)
    return _Question(name, against, len(right), counts, kolmogorov_smirnov, told, shown)


def _value_question(name: str, sides: tuple[list[str], list[str]], against: Against, min_rows: int) -> _Question:
    left, right = sides
    if min(len(left), len(right)) < min_rows:
        return _Question(name, against, len(right), None, total_variation, _too_few(left, right, min_rows))
    shown = value_shares(left, right)
    told = ", ".join(f"{value} {now:.2f} ({against} {then:.2f})" for value, then, now in zip(*shown, strict=True))
    return _Question(name, against, len(right), value_counts(left, right), total_variation, told, shown)


def _judged(questions: list[_Question], settings: DriftSettings, rng: np.random.Generator) -> list[DriftMeasure]:
    share = settings.false_alarm_share
    rounds = max(settings.bootstrap_rounds, int(np.ceil(2 * len(questions) / share)))
    compared = [None if q.counts is None else compare(q.counts, q.distance, rounds, rng) for q in questions]
    # A distance below the effect is no candidate for an alarm, however sure it is.
    p_values = [1.0 if c is None or c.distance <= settings.effect else c.p_value for c in compared]
    level, fallen = share / max(len(questions), 1), rejected(p_values, share)
    return [
        _measure(question, c, is_drift=is_drift, limit=_limit(c, level, settings.effect))
        for question, c, is_drift in zip(questions, compared, fallen, strict=True)
    ]


def _limit(compared: Compared | None, level: float, effect: float) -> float | None:
    return None if compared is None else max(effect, float(np.quantile(compared.by_chance, 1 - level)))


def _measure(question: _Question, compared: Compared | None, *, is_drift: bool, limit: float | None) -> DriftMeasure:
    status: Literal["ok", "drift", "not_enough_data"] = "drift" if is_drift else "ok"
    return DriftMeasure(
        name=question.name,
        against=question.against,
        status="not_enough_data" if compared is None else status,
        rows=question.rows,
        distance=compared.distance if compared else None,
        limit=limit,
        p_value=compared.p_value if compared else None,
        explanation=question.explanation,
        values=question.shown.values,
        reference_shares=question.shown.reference,
        batch_shares=question.shown.batch,
    )


def _too_few(left: Sequence[object] | Floats, right: Sequence[object] | Floats, min_rows: int) -> str:
    return f"{len(right)} pictures against {len(left)}, at least {min_rows} of both are needed"
