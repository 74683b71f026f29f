"""Turns test predictions into numbers."""

from __future__ import annotations

from prefect import task

from models.artifacts.ref import ArtifactRef, open_checked, seal_record
from models.artifacts.tables import EVALUATION, decode_table
from models.artifacts.workspace import Workspace
from models.learning import evaluate
from models.serving.picture_scorer import card_of
from tasks.caching import SEALED


@task(name="make-scorecard", cache_policy=SEALED, persist_result=True, result_serializer="json")
def make_scorecard(evaluation: ArtifactRef, model: ArtifactRef, workspace: Workspace) -> ArtifactRef:
    """Scorecard of a model on the test split."""
    rows = decode_table(open_checked(evaluation), EVALUATION)
    scorecard = evaluate.make_scorecard(rows, card_of(open_checked(model)))
    return seal_record(workspace, "scorecard", scorecard, rows=evaluation.rows)
