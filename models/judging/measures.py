"""What a scorecard says beside its headline numbers: every measure with an interval, by class, by slice, by cost."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from models.artifacts.judging_records import ClassDetail, ConfusedPair, Details, Measure, ShotGroup
from models.artifacts.records import ModelCard
from models.judging.bootstrap import measure_of, units_of
from models.judging.judging_settings import JudgingSettings, costs, prior_shares
from models.judging.measure_counts import Floats
from models.judging.measure_values import (
    Judged,
    Values,
    class_numbers,
    sampled_values,
    shot_of,
    stated_shots,
    values_of,
)
from models.judging.slices import all_slices, slice_details
from models.learning.evaluation_rows import class_positions, probability_rows
from models.learning.metrics import confusion_counts

ENOUGH_ROWS = 30
_SHOWN_PAIRS = 10
_WHOLE = (
    "accuracy",
    "balanced_accuracy",
    "macro_f1",
    "weighted_f1",
    "log_loss",
    "brier",
    "calibration_error",
    "adaptive_calibration_error",
)
_STATED = ("deployment_objective", "expected_cost")


def details_of(
    evaluation: pa.Table,
    card: ModelCard,
    settings: JudgingSettings,
    train_rows: Mapping[str, int] | None,
    rng: np.random.Generator,
) -> Details:
    """All numbers of a model whose pictures have one label each, with 95 % bootstrap intervals.

    Args:
        evaluation: table EVALUATION of its test pictures, at least one.
        card: the model's.
        settings: what its deployment states.
        train_rows: pictures of each class that it learned from; None where that is not known.
        rng: draws the samples.

    Raises:
        SettingsError: the settings state something of other classes.
    """
    judged = _judged(evaluation, card, settings, train_rows)
    units = units_of(judged.true_index, evaluation["group_id"].to_pylist())
    values, samples = values_of(judged, np.ones((evaluation.num_rows, 1))), sampled_values(judged, units, rng)
    measured = {
        name: measure_of(float(values[name][0]), samples[name], evaluation.num_rows)
        for name in (*_WHOLE, *_STATED)
        if name in values
    }
    return Details(
        objective_name=card.correction.objective_name,
        resampled=units.resampled,
        **measured,
        per_class=_class_details(judged, card.classes, train_rows, values, samples),
        shot_groups=_shot_groups(judged, card.classes, values["shots"], samples["shots"]),
        confused=confused_pairs(judged, card.classes),
        slices=slice_details(judged.slices, values["slices"][..., 0], samples["slices"]),
        deployment_prior=None if judged.prior is None else tuple(judged.prior.tolist()),
    )


def _judged(
    evaluation: pa.Table, card: ModelCard, settings: JudgingSettings, train_rows: Mapping[str, int] | None
) -> Judged:
    return Judged(
        true_index=class_positions(evaluation, card.classes),
        probabilities=probability_rows(evaluation, len(card.classes)),
        objective_name=card.correction.objective_name,
        prior=prior_shares(settings, card.classes),
        costs=costs(settings, card.classes),
        shots=stated_shots(card.classes, train_rows),
        slices=all_slices(evaluation),
    )


def _class_details(
    judged: Judged, classes: tuple[str, ...], train_rows: Mapping[str, int] | None, values: Values, samples: Values
) -> tuple[ClassDetail, ...]:
    predicted = judged.answers.predicted
    found = []
    for k, label in enumerate(classes):
        is_class, is_named = judged.true_index == k, predicted == k
        rows = {
            "precision": int(is_named.sum()),
            "recall": int(is_class.sum()),
            "f1": int((is_class | is_named).sum()),
            "average_precision": len(predicted),
            "roc_auc": len(predicted),
        }
        own, sampled = class_numbers(values, k), class_numbers(samples, k)
        measures = {name: measure_of(float(own[name][0]), sampled[name], rows[name]) for name in own}
        learned = None if train_rows is None else train_rows.get(label, 0)
        found.append(
            ClassDetail(
                label=label,
                support=rows["recall"],
                train_rows=learned,
                shot=None if learned is None else shot_of(learned),
                is_enough=rows["recall"] >= ENOUGH_ROWS,
                **measures,
            )
        )
    return tuple(found)


def _shot_groups(judged: Judged, classes: tuple[str, ...], values: Floats, samples: Floats) -> tuple[ShotGroup, ...]:
    found = []
    for (shot, positions), value, sample in zip(judged.shots.items(), values, samples, strict=True):
        rows = int(np.isin(judged.true_index, positions).sum())
        recall: Measure = measure_of(float(value[0]), sample, rows)
        found.append(ShotGroup(shot=shot, classes=tuple(classes[k] for k in positions.tolist()), recall=recall))
    return tuple(found)


def confused_pairs(judged: Judged, classes: tuple[str, ...]) -> tuple[ConfusedPair, ...]:
    """The ten pairs of a true and a wrongly named class with most pictures, most first."""
    confusion = confusion_counts(judged.true_index, judged.answers.predicted, len(classes))
    support = confusion.sum(1)
    pairs = [(true, named) for true, named in np.argwhere(confusion).tolist() if true != named]
    pairs.sort(key=lambda pair: -int(confusion[pair]))
    return tuple(
        ConfusedPair(
            label=classes[true],
            predicted=classes[named],
            rows=int(confusion[true, named]),
            share=float(confusion[true, named] / support[true]),
        )
        for true, named in pairs[:_SHOWN_PAIRS]
    )
