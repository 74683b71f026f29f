"""The loss of a lesson, by what its imbalance setting means."""

from __future__ import annotations

import numpy as np

from models.learning.imbalance import ImbalancePlan
from models.learning.lesson import Lesson
from models.learning.losses import LossSettings, effective_number_weights

_BETA = 0.999


def loss_of(lesson: Lesson, plan: ImbalancePlan, label_smoothing: float = 0.0) -> LossSettings:
    """The loss with the lesson's counts and prior; several labels a picture have a binary one.

    The user's own weights count as rows: a class whose pictures count half has half as many.
    """
    counts = lesson.train.weight @ lesson.train.targets
    weights = effective_number_weights(np.asarray(counts), _BETA) if plan.is_weighted else None
    return LossSettings(
        kind="binary" if lesson.task == "multi_label" else plan.loss,
        prior=lesson.prior,
        counts=np.asarray(counts),
        label_smoothing=label_smoothing,
        class_weights=weights,
    )
