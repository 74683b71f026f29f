"""The test split through the exported model and the scoring loader, and the scorecard made from it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from models.artifacts.records import Mistake, ModelCard, Scorecard, SliceScore
from models.artifacts.tables import EVALUATION, table_of
from models.data.limits import NO_LIMITS
from models.data.listing import file_name
from models.data.split import TEST
from models.errors import ArtifactChanged
from models.judging.answer_detail import Judged, answer_detail
from models.judging.judging_settings import JudgingSettings, require_fitting
from models.judging.measures import details_of
from models.learning.correction import served_offset, without_offset
from models.learning.evaluation_rows import Slice, class_positions, probability_rows, slices_of
from models.learning.metrics import confusion_counts, objective_value, reliability_bins, score_predictions
from models.learning.multi_label_scorecard import make_multi_label_scorecard
from models.parallel import OnProgress, map_in_threads, no_progress
from models.serving.picture_scorer import PictureScorer

WORST_MISTAKES = 12
Floats = NDArray[np.float64]


def evaluate_split(folder: Path, split: pa.Table, onnx_bytes: bytes, on_progress: OnProgress = no_progress) -> pa.Table:
    """Table EVALUATION of the test split: what the exported model says of each picture.

    Raises:
        ArtifactChanged: a picture has other bytes than at the scan.
    """
    rows = split.filter(pc.equal(split["split"], TEST)).to_pylist()
    scorer = PictureScorer(onnx_bytes, NO_LIMITS)
    found = []
    for row, scored in zip(rows, map_in_threads(lambda r: scorer.score(folder / file_name(r)), rows), strict=True):
        if scored.sha256 != row["image_id"]:
            raise ArtifactChanged(
                f"{row['path']} is {scored.status} and has other bytes than at the scan",
                "the pictures as they were scanned",
                "Run the same command again.",
            )
        kept = {name: row[name] for name in EVALUATION.names if name in row}
        # As the scorer measures it, not as the scan does: later batches are compared with it.
        look = scored.look._asdict() if scored.look else {}
        ood_score = scored.answers.ood_score if scored.answers else None
        found.append({**kept, **look, "probabilities": scored.probabilities, "ood_score": ood_score})
        on_progress(len(found), len(rows))
    return table_of(found, EVALUATION)


def make_scorecard(
    evaluation: pa.Table,
    card: ModelCard,
    seed: int = 0,
    settings: JudgingSettings = JudgingSettings(),  # noqa: B008 - frozen
    train_rows: Mapping[str, int] | None = None,
) -> Scorecard:
    """All numbers of a model on the rows of `evaluation`, with and without its correction.

    Args:
        evaluation: table EVALUATION of the test split.
        card: the model's.
        seed: of the bootstrap.
        settings: what its deployment states, of pictures with one label.
        train_rows: pictures of each class that it learned from; None where that is not known.

    Raises:
        SettingsError: the settings state something of other classes, or of pictures with several labels.
    """
    require_fitting(settings, card.classes, card.task)
    if card.task == "multi_label":
        return make_multi_label_scorecard(evaluation, card, seed, WORST_MISTAKES)
    true_index, probabilities = evaluation_arrays(evaluation, card.classes)
    raw = without_offset(probabilities, served_offset(card))
    foreign = evaluation["ood_score"].cast(pa.float64()).fill_null(np.nan).to_numpy()
    return Scorecard(
        model_name=card.name,
        split=TEST,
        classes=card.classes,
        served=score_predictions(true_index, probabilities, card.classes, seed),
        uncorrected=score_predictions(true_index, raw, card.classes, seed),
        slices=tuple(_slice_score(part, true_index, probabilities) for part in slices_of(evaluation)),
        reliability=reliability_bins(true_index, probabilities),
        worst_mistakes=_worst_mistakes(evaluation, true_index, probabilities, card.classes),
        details=details_of(evaluation, card, settings, train_rows, np.random.default_rng(seed)),
        answers=answer_detail(Judged(true_index, probabilities, foreign), card.answers) if card.answers else None,
    )


def evaluation_arrays(evaluation: pa.Table, classes: tuple[str, ...]) -> tuple[NDArray[np.int64], Floats]:
    """(N,) class positions and (N, K) probabilities of an EVALUATION table of pictures with one label."""
    return class_positions(evaluation, classes), probability_rows(evaluation, len(classes))


def _slice_score(part: Slice, true_index: NDArray[np.int64], probabilities: Floats) -> SliceScore:
    predicted = probabilities[part.inside].argmax(1)
    confusion = confusion_counts(true_index[part.inside], predicted, probabilities.shape[1])
    present = np.flatnonzero(confusion.sum(0) + confusion.sum(1))
    confusion = confusion[np.ix_(present, present)]
    accuracy, balanced, macro = (
        float(objective_value(confusion, o)) for o in ("accuracy", "balanced_accuracy", "macro_f1")
    )
    return SliceScore(
        column=part.column,
        value=part.value,
        rows=int(part.inside.sum()),
        accuracy=accuracy,
        balanced_accuracy=balanced,
        macro_f1=macro,
    )


def _worst_mistakes(
    evaluation: pa.Table, true_index: NDArray[np.int64], probabilities: Floats, classes: tuple[str, ...]
) -> tuple[Mistake, ...]:
    predicted, top = probabilities.argmax(1), probabilities.max(1)
    wrong = np.flatnonzero(predicted != true_index)
    worst = wrong[np.argsort(-top[wrong], kind="stable")][:WORST_MISTAKES]
    paths = evaluation["path"].to_pylist()
    return tuple(
        Mistake(path=paths[k], label=classes[true_index[k]], predicted=classes[predicted[k]], score=float(top[k]))
        for k in worst.tolist()
    )
