"""One file to class probabilities: the loader that evaluation and scoring share."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.artifacts.records import ModelCard
from models.data.decode import picture_of, read_file
from models.data.limits import DecodeLimits
from models.data.look import Look, detail_of
from models.errors import ArtifactChanged, UnreadableImage
from models.learning.multi_label_metrics import given_labels
from models.serving.block_runner import BlockRunner
from models.serving.lint import read_metadata
from models.serving.session import CPU, ImageSession, SessionSettings, rows_a_call

CARD_KEY = "sortline.card"
_log = logging.getLogger(__name__)


class Answers(NamedTuple):
    """What a model says of one picture.

    Attributes:
        probabilities: (K,) float32.
        prediction_set: (K,) whether a class is in the set; None where the model makes none.
        abstained: whether the answer is not to be used; None where the model has no limit of risk.
        ood_score: above 1 where the picture is foreign; None where the model cannot tell.
    """

    probabilities: NDArray[np.float32]
    prediction_set: NDArray[np.bool_] | None = None
    abstained: bool | None = None
    ood_score: float | None = None


_ANSWERS = frozenset(Answers._fields)


class Scored(NamedTuple):
    """What became of one file; `look` and `answers` are None where `status` is not ok."""

    status: str
    reason: str | None
    sha256: str | None
    size_bytes: int | None
    look: Look | None
    answers: Answers | None

    @property
    def probabilities(self) -> NDArray[np.float32] | None:
        """(K,) float32; None where `status` is not ok."""
        return self.answers.probabilities if self.answers else None

    @classmethod
    def failed(cls, status: str, reason: str | None, data: bytes | None = None) -> Scored:
        """A file without a score; `data` is what was read of it."""
        digest = None if data is None else hashlib.sha256(data).hexdigest()
        return cls(status, reason, digest, None if data is None else len(data), None, None)


class PictureScorer:
    """From a path to probabilities; evaluation and scoring both go through it."""

    def __init__(self, onnx_bytes: bytes, limits: DecodeLimits, session: SessionSettings = CPU) -> None:
        self._session = ImageSession(onnx_bytes, session)
        self._limits = limits
        self._answers = [name for name in self._session.outputs if name in _ANSWERS]
        self.provider = self._session.provider
        self.card = ModelCard.model_validate_json(self._session.metadata[CARD_KEY])
        rows, contract = rows_a_call(session, self.provider), self.card.preprocess
        shape = (rows, contract.height_px, contract.width_px, 3)
        self.blocks = BlockRunner(self._run_block, shape) if rows > 1 else None

    def close(self) -> None:
        """Ends what computes blocks, where something does."""
        if self.blocks is not None:
            self.blocks.close()

    def score(self, path: str | Path) -> Scored:
        """One file on a disk, as `score_read` does."""
        return self.score_read(lambda max_bytes: read_file(path, max_bytes), str(path))

    def score_read(self, read: Callable[[int], bytes], name: str) -> Scored:
        """One file; a file that cannot be scored says why and raises nothing but MemoryError.

        Args:
            read: gives the bytes of a file of at most so many.
            name: of the file, for the log.
        """
        data = None
        try:
            data = read(self._limits.max_bytes)
            picture = picture_of(data, self._limits.max_pixels, self.card.preprocess.draft_px)
            pixels = self.card.preprocess.apply(picture.rgb)
            light, size = (picture.brightness, picture.contrast), (picture.width_px, picture.height_px)
            look, answers = Look(*light, detail_of(pixels), *size), self.answers(pixels)
        except UnreadableImage as error:
            return Scored.failed(error.status, error.reason, data)
        except MemoryError:
            raise
        # One picture that a resize or the graph trips over must not end the night.
        except Exception:
            _log.exception("inference failed on %r", name)
            return Scored.failed("crashed", "inference_failed", data)
        return Scored("ok", None, picture.sha256, picture.size_bytes, look, answers)

    def answers(self, pixels: NDArray[np.uint8]) -> Answers:
        """All answers to one picture, (height_px, width_px, 3) uint8 as the contract makes it."""
        found = self._session.run(pixels, self._answers) if self.blocks is None else self.blocks.answer(pixels)
        return Answers(
            probabilities=np.asarray(found["probabilities"], dtype=np.float32),
            prediction_set=found.get("prediction_set"),
            abstained=bool(found["abstained"]) if "abstained" in found else None,
            ood_score=float(found["ood_score"]) if "ood_score" in found else None,
        )

    def _run_block(self, pixels: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
        return self._session.run_block(pixels, self._answers)

    def probabilities(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(K,) of one picture, (height_px, width_px, 3) uint8 as the contract makes it."""
        return np.asarray(self._session.run(pixels, ("probabilities",))["probabilities"], dtype=np.float32)


def top_classes(
    probabilities: NDArray[np.float32], classes: tuple[str, ...], count: int
) -> tuple[list[str], list[float]]:
    """Names and scores of the `count` best classes, best first; ties go to the earlier class."""
    order = np.argsort(-probabilities, kind="stable")[:count]
    return [classes[k] for k in order], [float(probabilities[k]) for k in order]


def card_of(onnx_bytes: bytes) -> ModelCard:
    """The model card that an exported model carries.

    Raises:
        ArtifactChanged: it carries none.
    """
    text = read_metadata(onnx_bytes).get(CARD_KEY)
    if text is None:
        raise ArtifactChanged("a model without its card", "one that Sortline exported", "Export it anew.")
    return ModelCard.model_validate_json(text)


def prediction_row(row: dict[str, Any], scored: Scored, card: ModelCard, top_k: int) -> dict[str, Any]:
    """The columns of table PREDICTIONS that one file decides.

    Args:
        row: the file's entry in its plan.
        scored: what became of it.
        card: task and classes of the model.
        top_k: classes kept, best first.
    """
    size_bytes = row["size_bytes"] if scored.size_bytes is None else scored.size_bytes
    found = {
        "path": row["path"],
        "path_bytes": row["path_bytes"],
        "sha256": scored.sha256,
        "size_bytes": size_bytes,
        "status": scored.status,
        "reason": scored.reason,
        **(scored.look._asdict() if scored.look else {}),
    }
    if scored.answers is None:
        return found
    probabilities = scored.answers.probabilities
    labels, scores = top_classes(probabilities, card.classes, max(top_k, 2))
    margin = scores[0] - scores[1] if len(scores) > 1 else scores[0]
    if card.task == "multi_label":
        found["labels"] = _labels_of(probabilities, card.classes)
        margin = float(np.abs(2 * probabilities - 1).min())
    return {
        **found,
        "label": labels[0],
        "score": scores[0],
        "margin": margin,
        "top_labels": labels[:top_k],
        "top_scores": scores[:top_k],
        "prediction_set": _classes_of(scored.answers, card.classes),
        "abstained": scored.answers.abstained,
        "ood_score": scored.answers.ood_score,
    }


def _classes_of(answers: Answers, classes: tuple[str, ...]) -> list[str] | None:
    """The classes of the set, best first; None where the model makes none."""
    if answers.prediction_set is None:
        return None
    inside = answers.prediction_set
    return [classes[k] for k in np.argsort(-answers.probabilities, kind="stable") if inside[k]]


def _labels_of(probabilities: NDArray[np.float32], classes: tuple[str, ...]) -> list[str]:
    """The labels that are given, best first."""
    return top_classes(probabilities, classes, int(given_labels(probabilities).sum()))[0]
