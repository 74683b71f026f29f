"""Turns test predictions into numbers."""

from __future__ import annotations

from prefect import task

from models.artifacts.ref import ArtifactRef, open_checked, seal_record
from models.artifacts.tables import EVALUATION, SPLIT, decode_table
from models.artifacts.workspace import Workspace
from models.data.split import TRAIN
from models.judging.judging_settings import JudgingSettings
from models.learning import evaluate
from models.learning.evaluation_rows import class_rows
from models.serving.picture_scorer import card_of
from tasks.caching import SEALED


@task(name="make-scorecard", cache_policy=SEALED, persist_result=True, result_serializer="json")
def make_scorecard(
    evaluation: ArtifactRef, model: ArtifactRef, split: ArtifactRef, settings: JudgingSettings, workspace: Workspace
) -> ArtifactRef:
    """Scorecard of a model on the test split."""
    rows, card = decode_table(open_checked(evaluation), EVALUATION), card_of(open_checked(model))
    learned = class_rows(decode_table(open_checked(split), SPLIT), TRAIN) if card.task == "single_label" else None
    scorecard = evaluate.make_scorecard(rows, card, settings=settings, train_rows=learned)
    return seal_record(workspace, "scorecard", scorecard, rows=evaluation.rows)
