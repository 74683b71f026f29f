"""Writes the page about a folder."""

from __future__ import annotations

from pathlib import Path

from prefect import task

from models.artifacts.ref import ArtifactRef
from models.artifacts.workspace import Workspace
from validation import audit


# Not cached: the page lies under the folder's name, where the next audit replaces it.
@task(name="write-audit-report")
def write_audit_report(folder: Path, manifest: ArtifactRef, verdict: ArtifactRef, workspace: Workspace) -> ArtifactRef:
    """One self-contained page about a folder, with the pictures that broke a rule."""
    return audit.publish_report(folder, manifest, verdict, workspace)
