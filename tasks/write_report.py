"""Writes the page about a run."""

from __future__ import annotations

from pathlib import Path

from prefect import task

from models.artifacts.ref import ArtifactRef, publish
from models.artifacts.workspace import Workspace
from models.judging.explain import explained
from models.reports import run_report
from models.serving.bundle import read_bundle
from tasks.progress import progress_of
from tasks.run_refs import RunRefs


# Not cached: the page lies under the model's name, where the next run of the model replaces it.
@task(name="write-report")
def write_report(folder: Path, refs: RunRefs, workspace: Workspace) -> ArtifactRef:
    """One self-contained page about a training run, and about the folder that was scored with it, if any."""
    records = refs.open(folder)
    bundle = read_bundle(refs.bundle.path.parent)
    mistakes = [mistake.path for mistake in records.scorecard.worst_mistakes]
    found = explained([folder / path for path in mistakes], bundle, on_progress=progress_of("explain mistakes"))
    overlays = {path: one.overlay for path, one in zip(mistakes, found, strict=True) if one.overlay}
    records = records._replace(overlays=overlays)
    page = run_report.render_report(records)
    return publish(workspace.reports_dir / f"{records.card.name}.html", "report", page.encode())
