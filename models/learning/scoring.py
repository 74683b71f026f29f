"""Values of logits on tune, by the task and the objective of a lesson."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from models.learning.lesson import Lesson, Sample
from models.learning.losses import LossKind, plain_loss, row_losses
from models.learning.metrics import confusion_counts, objective_error, objective_value
from models.learning.multi_label_metrics import multi_label_objective

Floats = NDArray[np.float64]


def objective_of(lesson: Lesson, sample: Sample | None = None) -> Callable[[Floats], float]:
    """A function from (N, K) logits of tune, or of another sample, to the lesson's objective."""
    targets = (sample or lesson.tune).targets
    name = lesson.settings.objective
    if lesson.task == "multi_label":
        return lambda logits: multi_label_objective(targets > 0, logits >= 0, name)
    index, count = np.asarray(targets.argmax(1), dtype=np.int64), len(lesson.classes)
    return lambda logits: float(objective_value(confusion_counts(index, logits.argmax(1), count), name))


def objective_error_of(lesson: Lesson) -> Callable[[Floats], float]:
    """A function from (N, K) logits of tune to the standard error of the objective; 0 for several labels a picture."""
    true, count, name = lesson.tune.class_index, len(lesson.classes), lesson.settings.objective

    def error(logits: Floats) -> float:
        if lesson.task == "multi_label":
            return 0.0
        rng = np.random.default_rng(lesson.settings.seed)
        return objective_error(confusion_counts(true, logits.argmax(1), count), name, rng)

    return error


def tune_loss_of(lesson: Lesson) -> Callable[[Floats], float]:
    """A function from (N, K) tune logits to their mean cross-entropy, binary for several labels."""
    targets = torch.from_numpy(lesson.tune.targets)
    kind: LossKind = "binary" if lesson.task == "multi_label" else "cross_entropy"
    settings = plain_loss(len(lesson.classes), kind)
    return lambda logits: float(row_losses(settings, torch.from_numpy(logits), targets.double()).mean())
