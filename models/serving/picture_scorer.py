"""One file to class probabilities: the loader that evaluation and scoring share."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.artifacts.records import ModelCard
from models.data.decode import DecodeLimits, read_picture
from models.errors import UnreadableImage
from models.serving.session import ImageSession

CARD_KEY = "sortline.card"


class Scored(NamedTuple):
    """What became of one file; `probabilities` is (K,) float32, or None where `status` is not ok."""

    status: str
    reason: str | None
    sha256: str | None
    size_bytes: int | None
    brightness: float | None
    contrast: float | None
    probabilities: NDArray[np.float32] | None

    @classmethod
    def failed(cls, status: str, reason: str | None) -> Scored:
        """A file without a score."""
        return cls(status, reason, None, None, None, None, None)


class PictureScorer:
    """From a path to probabilities; evaluation and scoring both go through it."""

    def __init__(self, onnx_bytes: bytes, limits: DecodeLimits) -> None:
        self._session = ImageSession(onnx_bytes)
        self._limits = limits
        self.card = ModelCard.model_validate_json(self._session.metadata[CARD_KEY])

    def score(self, path: str | Path) -> Scored:
        """One file; a file that cannot be scored says why and raises nothing."""
        try:
            picture = read_picture(path, self._limits)
        except UnreadableImage as error:
            return Scored.failed(error.status, error.reason)
        pixels = self.card.preprocess.apply(picture.rgb)
        probabilities = np.asarray(self._session.run(pixels)["probabilities"], dtype=np.float32)
        return Scored(
            "ok", None, picture.sha256, picture.size_bytes, picture.brightness, picture.contrast, probabilities
        )


def top_classes(
    probabilities: NDArray[np.float32], classes: tuple[str, ...], count: int
) -> tuple[list[str], list[float]]:
    """Names and scores of the `count` best classes, best first; ties go to the earlier class."""
    order = np.argsort(-probabilities, kind="stable")[:count]
    return [classes[k] for k in order], [float(probabilities[k]) for k in order]


def card_of(onnx_bytes: bytes) -> ModelCard:
    """The model card that an exported model carries."""
    return ModelCard.model_validate_json(ImageSession(onnx_bytes).metadata[CARD_KEY])
