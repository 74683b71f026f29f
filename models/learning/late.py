"""What is done after the weights are there: how far the prior is taken back, or the last layer made fair, by tune."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.artifacts.records import Trial
from models.learning.correction import EXPECTED_STRENGTHS, STRENGTHS, choose_trial, log_offset
from models.learning.head import Layer, head_logits, hidden_features
from models.learning.imbalance import ImbalancePlan, refit_balanced, tau_normalised
from models.learning.lesson import Lesson
from models.learning.metrics import resampled_objectives
from models.learning.scoring import objective_of
from models.learning.thresholds import choose_thresholds

Floats = NDArray[np.float64]


class HeadTrial(NamedTuple):
    """A head that was fitted, with what it says of tune; `features_of_train` is asked only where a head is refitted."""

    regularisation: float | None
    layers: tuple[Layer, ...]
    tune_features: NDArray[np.float32]
    features_of_train: Callable[[], NDArray[np.float32]]


class Chosen(NamedTuple):
    """The head that is kept, what is added to its logits, and all that was tried."""

    trial: Trial
    head: HeadTrial
    layers: tuple[Layer, ...]
    offset: Floats
    trials: tuple[Trial, ...]


def choose_head(heads: Sequence[HeadTrial], lesson: Lesson, plan: ImbalancePlan) -> Chosen:
    """The best head with the best correction, by the objective on tune.

    Every candidate's value is kept: what a method would have given is told, chosen or not.
    """
    score = objective_of(lesson)
    found: list[tuple[Trial, HeadTrial, tuple[Layer, ...], Floats]] = []
    predicted: list[NDArray[np.int64]] = []
    for head in heads:
        for name, strength, layers in _variants(head, lesson, plan):
            logits = head_logits(head.tune_features, layers)
            offset = _offset(logits, lesson, name, strength)
            trial = Trial(
                regularisation=head.regularisation,
                correction=name,
                correction_strength=strength,
                objective=score(logits + offset),
            )
            found.append((trial, head, layers, offset))
            predicted.append((logits + offset).argmax(1))
    trials = [trial for trial, *_ in found]
    resampled = _resampled(np.array(predicted), lesson)
    trial, head, layers, offset = found[choose_trial(trials, resampled, expected_strength(lesson, plan))]
    return Chosen(trial, head, layers, offset, tuple(trials))


def expected_strength(lesson: Lesson, plan: ImbalancePlan) -> float:
    """How far theory would take the prior back, where strengths are tried; else as little as tune allows."""
    is_tried = lesson.task == "single_label" and (len(plan.strengths) > 1 or plan.late == "tau_norm")
    return EXPECTED_STRENGTHS[lesson.settings.objective] if is_tried else 0.0


def again(chosen: Chosen, layers: tuple[Layer, ...]) -> tuple[Layer, ...]:
    """Layers that were fitted once more, changed as the chosen ones were."""
    if chosen.trial.correction != "tau_norm":
        return layers
    *first, (weight, bias) = layers
    return (*first, (tau_normalised(weight, chosen.trial.correction_strength), bias))


def _resampled(predicted: NDArray[np.int64], lesson: Lesson) -> Floats:
    if lesson.task == "multi_label":
        return np.zeros((len(predicted), 0))
    rng, count = np.random.default_rng(lesson.settings.seed), len(lesson.classes)
    return resampled_objectives(lesson.tune.class_index, predicted, count, lesson.settings.objective, rng)


def _variants(head: HeadTrial, lesson: Lesson, plan: ImbalancePlan) -> list[tuple[str, float, tuple[Layer, ...]]]:
    """Name, strength and layers of each way of taking the prior back."""
    *first, (weight, bias) = head.layers
    if plan.late == "tau_norm":
        return [("tau_norm", tau, (*first, (tau_normalised(weight, tau), bias))) for tau in STRENGTHS]
    if plan.late == "crt":
        features = hidden_features(head.features_of_train(), head.layers)
        last = refit_balanced(
            features, lesson.train.class_index, len(lesson.classes), weight, bias, lesson.settings.seed
        )
        return [("none", 0.0, head.layers), ("crt", 1.0, (*first, last))]
    if lesson.task == "multi_label":
        return [("none", 0.0, head.layers), ("thresholds", 1.0, head.layers)]
    return [("logit_adjustment", strength, head.layers) for strength in plan.strengths]


def _offset(logits: Floats, lesson: Lesson, name: str, strength: float) -> Floats:
    if name == "thresholds":
        return choose_thresholds(logits, lesson.tune.targets > 0, lesson.settings.objective)
    if name == "logit_adjustment":
        return log_offset(lesson.prior, strength)
    return np.zeros(len(lesson.classes))
