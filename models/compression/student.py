"""A smaller network that learns from what the exported model says (Hinton et al., arXiv 1503.02531)."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from models.compression.compress import TUNE_ROWS, Made, answers_of
from models.compression.settings import CompressionSettings
from models.learning.checkpoint import encode_checkpoint
from models.learning.export_checkpoint import export_checkpoint
from models.learning.fit import Places, Subject, fit_classifier
from models.learning.lesson import prepare_lesson
from models.learning.pixel_store import PixelStore
from models.learning.progress import Hooks
from models.learning.training_settings import TrainingSettings
from models.serving.picture_scorer import card_of
from models.serving.session import ImageSession

# The model's answers tell how alike classes are; the labels keep the student from its mistakes.
_TEACHER_SHARE = 0.7


class Trained(NamedTuple):
    """What the exported model was trained with: the folder, its tables SPLIT and RESAMPLE_PLAN, and the settings."""

    folder: Path
    split: pa.Table
    plan: pa.Table
    training: TrainingSettings


def train_student(
    onnx_bytes: bytes, trained: Trained, settings: CompressionSettings, places: Places, hooks: Hooks
) -> Made:
    """A student of the exported model, trained on the pictures of train alone.

    Its classes are weighed as its teacher weighs them: the teacher's answers are corrected already.

    Args:
        onnx_bytes: the exported model.
        trained: what it was trained with, of which network, size and the correction are changed.
        settings: which network, at which size.
        places: where pixels and unfinished trainings are kept.
        hooks: who is told of progress.
    """
    folder, split, plan, training = trained
    card = card_of(onnx_bytes)
    lesson = prepare_lesson(folder, split, plan, _as_student(training, settings))
    store = PixelStore(places.features_dir / "pixels", card.preprocess)
    seen = store.pixels(lesson.train.paths, lesson.train.image_ids)
    taught = answers_of(ImageSession(onnx_bytes), seen).probabilities
    targets = _TEACHER_SHARE * taught + (1 - _TEACHER_SHARE) * lesson.train.targets
    lesson = lesson._replace(train=lesson.train._replace(targets=np.asarray(targets, dtype=np.float32)))
    checkpoint = fit_classifier(lesson, Subject(card.name, card.data_sha256), places, hooks)
    data = export_checkpoint(encode_checkpoint(checkpoint), folder, split, places.features_dir)
    store = PixelStore(places.features_dir / "pixels", checkpoint.card.preprocess)
    return Made(data, store.pixels(lesson.tune.paths[:TUNE_ROWS], lesson.tune.image_ids[:TUNE_ROWS]))


def _as_student(training: TrainingSettings, settings: CompressionSettings) -> TrainingSettings:
    update = {
        "network": settings.student,
        "weights": "",
        "size_px": settings.student_size_px,
        "learner": "auto",
        "imbalance": "natural",
        # It is judged on tune.
        "refit_on_tune": False,
    }
    return training.model_copy(update=update)
