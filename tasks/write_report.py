"""Writes the page about a run."""

from __future__ import annotations

from pathlib import Path

from prefect import task

from models.artifacts.ref import ArtifactRef, publish
from models.artifacts.workspace import Workspace
from models.reports import run_report
from tasks.run_refs import RunRefs


# Not cached: the page lies under the model's name, where the next run of the model replaces it.
@task(name="write-report")
def write_report(folder: Path, refs: RunRefs, workspace: Workspace) -> ArtifactRef:
    """One self-contained page about a training run, and about the folder that was scored with it, if any."""
    records = refs.open(folder)
    page = run_report.render_report(records)
    return publish(workspace.reports_dir / f"{records.card.name}.html", "report", page.encode())
