"""Remembers that data were accepted."""

from __future__ import annotations

from prefect import task

from models.artifacts.ref import ArtifactRef
from models.artifacts.workspace import Workspace
from models.serving import data_history


@task(name="remember-data")
def remember_data(
    name: str, manifest: ArtifactRef, split: ArtifactRef, before: data_history.DataBefore, workspace: Workspace
) -> None:
    """Makes the next data of the model be compared with these, and keep their division."""
    data_history.remember_accepted(workspace, name, manifest, split, before)
