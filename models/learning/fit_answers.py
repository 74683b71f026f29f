"""From a served model and what was kept of tune to the same model with all its answers."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from models.artifacts.judging_records import AnswerRules
from models.artifacts.records import ModelCard
from models.data.split import TRAIN, TUNE
from models.judging.abstention import Abstention, limit_for_coverage, limit_for_risk, risk_coverage_curve
from models.judging.answer_settings import AnswerSettings
from models.judging.conformal import class_thresholds
from models.judging.foreign import ForeignScale, bank_positions, fit_scale
from models.learning.checkpoint import CalibrationRows
from models.learning.correction import served_probabilities
from models.learning.lesson import sample_of
from models.learning.pixel_store import PixelStore
from models.parallel import map_in_threads
from models.serving.answer_graph import DISTANCE, ENERGY, Bank, with_answers, with_foreign_parts
from models.serving.embedding_spread import EmbeddingSpread
from models.serving.picture_scorer import card_of
from models.serving.session import ImageSession

_TUNE_ROWS, _SPREAD_ROWS = 1000, 500
Floats = NDArray[np.float64]


class Pictures(NamedTuple):
    """Where the pictures of a split lie, and where their pixels are kept."""

    folder: Path
    split: pa.Table
    features_dir: Path


def fit_answers(
    onnx_bytes: bytes, calibration: CalibrationRows, pictures: Pictures, settings: AnswerSettings, seed: int = 0
) -> bytes:
    """ONNX bytes of the same model with sets of classes, a limit of risk, and a score for foreign pictures.

    Args:
        onnx_bytes: the model that is to be served.
        calibration: what the checkpoint keeps of tune.
        pictures: of which train is what is known, and tune tells the scale.
        settings: which shares are wanted.
        seed: of the draw of training pictures that are kept.
    """
    card = card_of(onnx_bytes)
    # A private model keeps nothing of training pictures, in whatever form.
    is_private = card.privacy is not None
    bank, scale = (None, None) if is_private else _foreign(onnx_bytes, card, pictures, settings, seed)
    spread = None if is_private else _spread(onnx_bytes, card, pictures, seed)
    rules = _rules(card, _calibrated(onnx_bytes, card, calibration, pictures), settings)
    if bank is not None:
        update = {"ood_neighbours": bank.neighbours, "ood_bank_rows": len(bank.embeddings)}
        rules = rules.model_copy(update={**update, "ood_false_alarm_rate": settings.false_alarm_rate})
    return with_answers(onnx_bytes, card.model_copy(update={"answers": rules}), bank, scale, spread)


class _Calibrated(NamedTuple):
    """(N, K) probabilities as they are served, of rows that were not learned from, and (N, K) what is true."""

    probabilities: Floats
    targets: NDArray[np.float32]


def _calibrated(onnx_bytes: bytes, card: ModelCard, rows: CalibrationRows, pictures: Pictures) -> _Calibrated:
    # A student is another network than the one that the rows are of, and never learned from tune.
    if card.variant != "student":
        return _Calibrated(served_probabilities(rows.logits, card), rows.targets)
    tune = sample_of(pictures.folder, pictures.split, TUNE, card.classes)
    pixels = PixelStore(pictures.features_dir / "pixels", card.preprocess).pixels(tune.paths, tune.image_ids)
    found = _outputs(ImageSession(onnx_bytes), pixels, "probabilities")["probabilities"]
    return _Calibrated(found.astype(np.float64), tune.targets)


def _rules(card: ModelCard, rows: _Calibrated, settings: AnswerSettings) -> AnswerRules:
    count = len(rows.probabilities)
    if card.task == "multi_label":
        return AnswerRules(target_coverage=settings.set_coverage, thresholds=(), calibration_rows=count)
    true_index = np.asarray(rows.targets.argmax(1), dtype=np.int64)
    risk_score = 1 - rows.probabilities.max(1)
    is_wrong = rows.probabilities.argmax(1) != true_index
    limit = _limit(risk_score, is_wrong, settings)
    return AnswerRules(
        target_coverage=settings.set_coverage,
        thresholds=class_thresholds(true_index, rows.probabilities, card.classes, settings.set_coverage),
        target_risk=settings.max_risk or None,
        max_abstention=limit.limit if limit else None,
        risk_bound=limit.risk_bound if limit else None,
        coverage=limit.coverage if limit else 1.0,
        risk_coverage=risk_coverage_curve(risk_score, is_wrong),
        calibration_rows=count,
    )


def _limit(risk_score: Floats, is_wrong: NDArray[np.bool_], settings: AnswerSettings) -> Abstention | None:
    if settings.max_risk:
        return limit_for_risk(risk_score, is_wrong, settings.max_risk)
    if settings.min_coverage:
        return limit_for_coverage(risk_score, is_wrong, settings.min_coverage)
    return None


def _foreign(
    onnx_bytes: bytes, card: ModelCard, pictures: Pictures, settings: AnswerSettings, seed: int
) -> tuple[Bank | None, ForeignScale | None]:
    """Training pictures to compare with, and the scale on which tune pictures are known."""
    if settings.foreign == "off":
        return None, None
    rng = np.random.default_rng(seed)
    train, tune = (sample_of(pictures.folder, pictures.split, name, card.classes) for name in (TRAIN, TUNE))
    store = PixelStore(pictures.features_dir / "pixels", card.preprocess)
    kept = bank_positions(np.asarray(train.targets.argmax(1), dtype=np.int64), settings.bank_rows, rng).tolist()
    known = np.sort(rng.permutation(len(tune.paths))[:_TUNE_ROWS]).tolist()
    seen = store.pixels([train.paths[k] for k in kept], [train.image_ids[k] for k in kept])
    embeddings = _outputs(ImageSession(onnx_bytes), seen, "embedding")["embedding"]
    length = np.maximum(np.linalg.norm(embeddings, axis=1, keepdims=True), 1e-12)
    bank = Bank(np.asarray(embeddings / length, dtype=np.float32), min(settings.neighbours, len(kept)))
    judged = store.pixels([tune.paths[k] for k in known], [tune.image_ids[k] for k in known])
    found = _outputs(ImageSession(with_foreign_parts(onnx_bytes, bank)), judged, DISTANCE, ENERGY)
    distance, energy = (found[name].astype(np.float64) for name in (DISTANCE, ENERGY))
    return bank, fit_scale(distance, energy, settings.false_alarm_rate)


def _spread(onnx_bytes: bytes, card: ModelCard, pictures: Pictures, seed: int) -> EmbeddingSpread:
    """The spread of embeddings of training pictures, as often as their classes come."""
    train = sample_of(pictures.folder, pictures.split, TRAIN, card.classes)
    kept = np.sort(np.random.default_rng(seed).permutation(len(train.paths))[:_SPREAD_ROWS]).tolist()
    store = PixelStore(pictures.features_dir / "pixels", card.preprocess)
    pixels = store.pixels([train.paths[k] for k in kept], [train.image_ids[k] for k in kept])
    return EmbeddingSpread.of(_outputs(ImageSession(onnx_bytes), pixels, "embedding")["embedding"])


def _outputs(session: ImageSession, pixels: NDArray[np.uint8], *names: str) -> dict[str, NDArray[np.float32]]:
    """(N, ...) by name, one picture a call, as they are served."""
    rows = list(map_in_threads(lambda picture: session.run(picture, names), pixels))
    return {name: np.stack([row[name] for row in rows]) for name in names}
