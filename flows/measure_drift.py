"""Measures the newest batch of an output again, as a schedule or a person asks for it."""

from __future__ import annotations

from pathlib import Path

from prefect import flow

from flows.places import require_allowed
from models.artifacts.ref import ArtifactRef
from models.artifacts.workspace import Workspace
from models.drift.settings import DriftSettings
from tasks.measure_drift import measure_output_drift
from tasks.tell_drift import tell_drift


@flow(name="measure-drift", persist_result=False, timeout_seconds=3600)
def measure_drift(
    name: str,
    out: str,
    workspace_root: Path = Path("workspace"),
    drift: DriftSettings = DriftSettings(),  # noqa: B008 - frozen, and the form shows it
) -> ArtifactRef:
    """Address of the drift report.

    Args:
        name: Name of the model that scored.
        out: Folder or address of its predictions.
        workspace_root: Folder that holds all that Sortline writes.
        drift: When the batch counts as drifted.
    """
    require_allowed(out, str(workspace_root))
    report = measure_output_drift(name, out, drift, Workspace.open(workspace_root))
    tell_drift(report)
    return report
