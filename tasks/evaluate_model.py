"""Runs a model over the test split."""

from __future__ import annotations

from pathlib import Path

from prefect import task

from models.artifacts.ref import ArtifactRef, open_checked, seal
from models.artifacts.tables import SPLIT, decode_table, encode_table
from models.artifacts.workspace import Workspace
from models.learning import evaluate
from tasks.caching import SEALED
from tasks.progress import progress_of


@task(name="evaluate-model", cache_policy=SEALED, persist_result=True, result_serializer="json")
def evaluate_model(folder: Path, model: ArtifactRef, split: ArtifactRef, workspace: Workspace) -> ArtifactRef:
    """What the exported model says of each test picture, through the scoring loader."""
    rows = decode_table(open_checked(split), SPLIT)
    evaluation = evaluate.evaluate_split(folder, rows, open_checked(model), progress_of("evaluate"))
    return seal(workspace, "evaluation", encode_table(evaluation), suffix=".parquet", rows=evaluation.num_rows)
