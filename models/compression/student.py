"""A smaller network that learns from what the exported model says (Hinton et al., arXiv 1503.02531)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from models.compression.compress import TUNE_ROWS, Attempt, Made, answers_of
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


def student_attempt(
    onnx_bytes: bytes,
    tables: tuple[Path, pa.Table, pa.Table],
    training: TrainingSettings,
    settings: CompressionSettings,
    places: Places,
    hooks: Hooks,
) -> Attempt:
    """A student of the exported model, to be trained on the pictures of train alone.

    Its classes are weighed as its teacher weighs them: the teacher's answers are corrected already.

    Args:
        onnx_bytes: the exported model.
        tables: the folder, and its SPLIT and RESAMPLE_PLAN.
        training: as the teacher was trained, but for network, size and the correction.
        settings: which network, at which size.
        places: where pixels and unfinished trainings are kept.
        hooks: who is told of progress.
    """
    detail = f"{settings.student}, {settings.student_size_px or 'its own'} px"
    return Attempt(
        "student", "student", detail, lambda: _trained(onnx_bytes, tables, training, settings, places, hooks)
    )


def _trained(
    onnx_bytes: bytes,
    tables: tuple[Path, pa.Table, pa.Table],
    training: TrainingSettings,
    settings: CompressionSettings,
    places: Places,
    hooks: Hooks,
) -> Made:
    folder, split, plan = tables
    card = card_of(onnx_bytes)
    lesson = prepare_lesson(folder, split, plan, _as_student(training, settings))
    seen = PixelStore(places.features_dir / "pixels", card.preprocess).pixels(
        lesson.train.paths, lesson.train.image_ids
    )
    taught = answers_of(ImageSession(onnx_bytes), seen).probabilities
    targets = _TEACHER_SHARE * taught + (1 - _TEACHER_SHARE) * lesson.train.targets
    lesson = lesson._replace(train=lesson.train._replace(targets=np.asarray(targets, dtype=np.float32)))
    checkpoint = fit_classifier(lesson, Subject(card.name, card.data_sha256), places, hooks)
    data = export_checkpoint(encode_checkpoint(checkpoint), folder, split, places.features_dir)
    own = checkpoint.card.preprocess
    store, judged = PixelStore(places.features_dir / "pixels", own), slice(TUNE_ROWS)
    tune = store.pixels(lesson.tune.paths[judged], lesson.tune.image_ids[judged])
    return Made(data, tune)


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
