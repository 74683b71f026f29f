"""What a model says of spoiled test pictures: common corruptions, smaller pictures, stronger JPEG compression.

Everything goes the way of scoring: the decoded picture is spoiled, then the contract and the exported graph follow.
Corruptions and JPEG see large pictures reduced to twice the network's side, which keeps them fast and is as much as the
contract leaves of them; of a large file they tell more harm than it would suffer.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field, PositiveFloat

from models.artifacts.judging_records import CorruptionScore, RobustnessReport
from models.artifacts.records import ModelCard
from models.data.decode import read_picture
from models.data.limits import NO_LIMITS
from models.data.listing import file_name
from models.data.preprocess import Preprocess
from models.data.split import TEST
from models.errors import ArtifactChanged
from models.judging.corruptions import CORRUPTIONS, SEVERITIES, corrupted, jpeg_coded
from models.judging.foreign import bank_positions
from models.judging.membership import examine_membership
from models.learning.metrics import confusion_counts, objective_value
from models.parallel import OnProgress, map_in_threads, no_progress
from models.serving.picture_scorer import PictureScorer
from models.settings import Settings

SIZES = (0.75, 0.5, 0.25)
QUALITIES = (75, 50, 25)
_KEPT_SIDES = 2
_log = logging.getLogger(__name__)


class RobustnessSettings(Settings):
    """On how many pictures, and with which attacks, a model's robustness is examined."""

    pictures: int = Field(
        default=48,
        ge=0,
        le=100_000,
        title="Pictures",
        description="Test pictures that are spoiled in 33 ways each, classes in turn; 0: none.",
    )
    membership_pictures: int = Field(
        default=200,
        ge=0,
        le=100_000,
        title="Membership",
        description="Training pictures, and as many test pictures, by which it is told how well those who have the "
        "model can say what it learned from; 0: not.",
    )
    attacks: tuple[PositiveFloat, ...] = Field(
        default=(),
        title="Attacks",
        description="Largest changes of a pixel, of 255, by which FGSM and PGD of 10 steps attack the trained network, "
        "such as 1,2,4,8. Slow without a GPU.",
    )


class Kind(NamedTuple):
    """One way in which a picture is spoiled: a corruption at a severity, or a shift by its own number."""

    name: str
    severity: float


CORRUPTION_KINDS = tuple(Kind(name, severity) for name, severity in product(CORRUPTIONS, SEVERITIES))
SHIFT_KINDS = (*(Kind("size", share) for share in SIZES), *(Kind("jpeg_quality", quality) for quality in QUALITIES))


def examine_robustness(
    folder: Path,
    split: pa.Table,
    onnx_bytes: bytes,
    settings: RobustnessSettings,
    rng: np.random.Generator,
    on_progress: OnProgress = no_progress,
) -> RobustnessReport | None:
    """The report on a sample of the test split, without attacks; None where it is off, or pictures have several labels.

    Args:
        folder: where the pictures lie.
        split: table SPLIT.
        onnx_bytes: the exported model.
        settings: how many pictures.
        rng: draws the sample first, then a seed for each picture.
        on_progress: is told after each picture.

    Raises:
        ArtifactChanged: a picture has other bytes than at the scan.
    """
    scorer = PictureScorer(onnx_bytes, NO_LIMITS)
    classes, draft_px = scorer.card.classes, scorer.card.preprocess.draft_px
    rows = examined_rows(split, scorer.card, settings.pictures, rng)
    if not rows:
        return None
    jobs = zip(rows, rng.integers(2**63, size=len(rows)).tolist(), strict=True)
    found = []
    for answers in map_in_threads(lambda job: _answers(scorer, read_examined(folder, job[0], draft_px), job[1]), jobs):
        found.append(answers)
        on_progress(len(found), len(rows))
    true_index = np.array([classes.index(row["label"]) for row in rows], dtype=np.int64)
    clean, *spoiled = np.array(found, dtype=np.int64).T
    scores = [
        spoiled_score(kind, true_index, answers, clean, classes)
        for kind, answers in zip((*CORRUPTION_KINDS, *SHIFT_KINDS), spoiled, strict=True)
    ]
    unspoiled = spoiled_score(Kind("none", 0), true_index, clean, clean, classes)
    membership = examine_membership(folder, split, scorer, settings.membership_pictures, rng)
    return _report(scorer.card.name, unspoiled, scores).model_copy(update={"membership": membership})


def examined_rows(split: pa.Table, card: ModelCard, most_rows: int, rng: np.random.Generator) -> list[dict[str, Any]]:
    """Rows of the test split of classes that the model knows, classes in turn; none where they have several labels."""
    if not most_rows or card.task == "multi_label":
        _log.info("robustness is not examined: %s", "it is off" if not most_rows else "pictures have several labels")
        return []
    rows = split.filter(pc.equal(split["split"], TEST)).to_pylist()
    known = [row for row in rows if row["label"] in card.classes]
    index = np.array([card.classes.index(row["label"]) for row in known], dtype=np.int64)
    return [known[k] for k in bank_positions(index, most_rows, rng).tolist()]


def read_examined(folder: Path, row: dict[str, Any], draft_px: int | None = None) -> Image.Image:
    """The upright RGB picture of a row; a JPEG at the scale that `decode_rgb` gives for `draft_px`.

    Raises:
        ArtifactChanged: it has other bytes than at the scan.
    """
    picture = read_picture(folder / file_name(row), NO_LIMITS, draft_px=draft_px)
    if picture.sha256 != row["image_id"]:
        raise ArtifactChanged(
            f"{row['path']} has other bytes than at the scan",
            "the pictures as they were scanned",
            "Run the same command again.",
        )
    return picture.rgb


def spoiled_score(
    kind: Kind,
    true_index: NDArray[np.int64],
    predicted: NDArray[np.int64],
    clean: NDArray[np.int64],
    classes: Sequence[str],
) -> CorruptionScore:
    """Numbers of pictures that were spoiled in one way.

    Args:
        kind: which way.
        true_index: (N,) class positions, N at least 1.
        predicted: (N,) answers to the spoiled pictures.
        clean: (N,) answers to the same unspoiled.
        classes: K names; those without a picture count for nothing.
    """
    confusion = confusion_counts(true_index, predicted, len(classes))
    support = confusion.sum(1)
    recall = np.divide(np.diagonal(confusion), support, out=np.full(len(classes), np.inf), where=support > 0)
    worst = int(recall.argmin())
    return CorruptionScore(
        name=kind.name,
        severity=kind.severity,
        rows=len(true_index),
        accuracy=float(objective_value(confusion, "accuracy")),
        balanced_accuracy=float(objective_value(confusion, "balanced_accuracy")),
        worst_class=classes[worst],
        worst_recall=float(recall[worst]),
        flip_rate=float((predicted != clean).mean()),
    )


def _report(model_name: str, clean: CorruptionScore, scores: list[CorruptionScore]) -> RobustnessReport:
    corruptions, shifts = scores[: len(CORRUPTION_KINDS)], scores[len(CORRUPTION_KINDS) :]
    by_name = {name: [s.balanced_accuracy for s in corruptions if s.name == name] for name in CORRUPTIONS}
    return RobustnessReport(
        model_name=model_name,
        rows=clean.rows,
        clean_balanced_accuracy=clean.balanced_accuracy,
        mean_balanced_accuracy=float(np.mean([score.balanced_accuracy for score in corruptions])),
        worst=min(by_name, key=lambda name: float(np.mean(by_name[name]))),
        corruptions=tuple(corruptions),
        shifts=tuple(shifts),
    )


def _answers(scorer: PictureScorer, picture: Image.Image, seed: int) -> list[int]:
    """Class positions that the model gives one picture, unspoiled and in every way."""
    preprocess = scorer.card.preprocess
    return [int(scorer.probabilities(preprocess.apply(seen)).argmax()) for seen in _seen(picture, preprocess, seed)]


def _seen(picture: Image.Image, preprocess: Preprocess, seed: int) -> Iterator[Image.Image]:
    """The picture as it is, then by CORRUPTION_KINDS and SHIFT_KINDS."""
    yield picture
    reduced = np.asarray(_reduced(picture, preprocess))
    for place, name in enumerate(CORRUPTIONS):
        for severity in SEVERITIES:
            yield Image.fromarray(corrupted(reduced, name, severity, np.random.default_rng([seed, place])))
    for share in SIZES:
        yield _resized(picture, share)
    for quality in QUALITIES:
        yield Image.fromarray(jpeg_coded(reduced, quality))


def _reduced(picture: Image.Image, preprocess: Preprocess) -> Image.Image:
    share = _KEPT_SIDES * max(preprocess.width_px, preprocess.height_px) / min(picture.size)
    return picture if share >= 1 else _resized(picture, share)


def _resized(picture: Image.Image, share: float) -> Image.Image:
    width, height = (max(round(side * share), 1) for side in picture.size)
    return picture.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=2.0)
