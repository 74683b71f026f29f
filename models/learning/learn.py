"""The door to training: here, or in several processes side by side."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from models.learning.checkpoint import Checkpoint
from models.learning.fit import Places, Subject, fit_classifier
from models.learning.launch import fit_in_ranks, process_count
from models.learning.lesson import prepare_lesson
from models.learning.progress import NOBODY, Hooks
from models.learning.pseudo import learn_with_unlabelled
from models.learning.training_settings import TrainingSettings


def learn(  # noqa: PLR0913, PLR0917 - what training is of, for whom, and where
    folder: Path,
    split: pa.Table,
    plan: pa.Table,
    settings: TrainingSettings,
    subject: Subject,
    places: Places,
    hooks: Hooks = NOBODY,
) -> Checkpoint:
    """The checkpoint of a model trained on the train rows of a split.

    Args:
        folder: the pictures.
        split: table SPLIT.
        plan: table RESAMPLE_PLAN of it.
        settings: what is trained, towards which number.
        subject: what the model is called, and the digest of the split.
        places: where intermediate results are kept.
        hooks: who is told of progress.
    """
    if settings.pseudo.folder:
        lesson = prepare_lesson(folder, split, plan, settings)
        return learn_with_unlabelled(
            lesson, places.features_dir, lambda own: fit_classifier(own, subject, places, hooks)
        )
    if process_count(settings) > 1 and settings.learner != "frozen":
        return fit_in_ranks(folder, split, plan, settings, subject, places, hooks)
    return fit_classifier(prepare_lesson(folder, split, plan, settings), subject, places, hooks)
