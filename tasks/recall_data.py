"""Recalls what data of a model are compared with."""

from __future__ import annotations

from prefect import task

from models.artifacts.ref import ArtifactRef
from models.artifacts.workspace import Workspace
from models.serving import data_history


# Not cached: the history, which is no input, decides.
@task(name="recall-data")
def recall_data(name: str, manifest: ArtifactRef, workspace: Workspace) -> data_history.DataBefore:
    """The data that were accepted before a manifest, and the champion's classes."""
    return data_history.data_before(workspace, name, manifest)
