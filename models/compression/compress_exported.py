"""From an exported model and the tables of its training to the model that is served."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from models.compression.compress import TUNE_ROWS, Attempt, Pictures, compress
from models.compression.settings import CompressionSettings
from models.compression.student import Trained, train_student
from models.data.split import TRAIN, TUNE
from models.learning.fit import Places
from models.learning.lesson import sample_of
from models.learning.pixel_store import PixelStore
from models.learning.progress import NOBODY, Hooks
from models.serving.picture_scorer import card_of

_TRAIN_ROWS = 600


def compress_exported(
    onnx_bytes: bytes, trained: Trained, settings: CompressionSettings, places: Places, hooks: Hooks = NOBODY
) -> bytes:
    """ONNX bytes of the model to serve, made with pictures of train and chosen on those of tune.

    Args:
        onnx_bytes: the exported model.
        trained: what it was trained with.
        settings: what is tried, and the budget.
        places: where pixels and unfinished trainings are kept.
        hooks: who is told of the training of a student.
    """
    # Integers and students are made from training pictures as they are, which a private model promised not to show.
    if not settings.tries_any or card_of(onnx_bytes).privacy is not None:
        return onnx_bytes
    students = _students(onnx_bytes, trained, settings, places, hooks)
    return compress(onnx_bytes, _pictures(onnx_bytes, trained, places), settings, students)


def _pictures(onnx_bytes: bytes, trained: Trained, places: Places) -> Pictures:
    card = card_of(onnx_bytes)
    store = PixelStore(places.features_dir / "pixels", card.preprocess)
    train, tune = (sample_of(trained.folder, trained.split, name, card.classes) for name in (TRAIN, TUNE))
    order = np.random.default_rng(0).permutation(len(train.paths))[:_TRAIN_ROWS].tolist()
    seen = store.pixels([train.paths[k] for k in order], [train.image_ids[k] for k in order])
    judged = store.pixels(tune.paths[:TUNE_ROWS], tune.image_ids[:TUNE_ROWS])
    return Pictures(seen, judged, tune.targets[:TUNE_ROWS])


def _students(
    onnx_bytes: bytes, trained: Trained, settings: CompressionSettings, places: Places, hooks: Hooks
) -> Iterator[Attempt]:
    if settings.student:
        detail = f"{settings.student}, {settings.student_size_px or 'its own'} px"
        make = lambda: train_student(onnx_bytes, trained, settings, places, hooks)  # noqa: E731
        yield Attempt("student", "student", detail, make)
