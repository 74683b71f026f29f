"""Every file of a folder to one row of predictions."""

from __future__ import annotations

from pathlib import Path

from prefect import flow
from prefect.runtime import flow_run

from models.artifacts.ref import ArtifactRef
from models.artifacts.workspace import Workspace
from models.serving.drift import DriftSettings
from models.serving.score import ScoringSettings
from tasks.measure_drift import measure_drift
from tasks.score_folder import score_folder as score_folder_task


@flow(name="score-folder", persist_result=False)
def score_folder(
    folder: Path,
    name: str,
    out: Path,
    workspace_root: Path = Path("workspace"),
    scoring: ScoringSettings = ScoringSettings(),  # noqa: B008 - frozen, and the form shows it
    drift: DriftSettings = DriftSettings(),  # noqa: B008
) -> tuple[ArtifactRef, ArtifactRef]:
    """Addresses of the summary and of the drift report of a folder scored with a champion.

    Args:
        folder: Pictures, at any depth.
        name: Name of the model whose champion scores.
        out: Folder for the predictions; files that have their row there are left alone.
        workspace_root: Folder that holds all that Sortline writes.
        scoring: How the folder is scored.
        drift: When the batch counts as drifted.
    """
    workspace = Workspace.open(workspace_root)
    summary = score_folder_task(folder, name, out, scoring, str(flow_run.id), workspace)
    return summary, measure_drift(summary, drift, workspace)
