"""Exports a checkpoint."""

from __future__ import annotations

from pathlib import Path

from prefect import task

from models.artifacts.ref import ArtifactRef, open_checked, seal
from models.artifacts.tables import SPLIT, decode_table
from models.artifacts.workspace import Workspace
from tasks.caching import SEALED


@task(name="export-model", cache_policy=SEALED, persist_result=True, result_serializer="json")
def export_model(folder: Path, checkpoint: ArtifactRef, split: ArtifactRef, workspace: Workspace) -> ArtifactRef:
    """ONNX file of a checkpoint, checked against it on real pictures."""
    from models.learning import export_checkpoint  # torch takes seconds to import

    rows = decode_table(open_checked(split), SPLIT)
    data = export_checkpoint.export_checkpoint(open_checked(checkpoint), folder, rows, workspace.features_dir)
    return seal(workspace, "onnx_model", data, suffix=".onnx", rows=1)
