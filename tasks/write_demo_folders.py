"""Writes the demo's pictures."""

from __future__ import annotations

from prefect import task

from models.artifacts.workspace import Workspace
from models.data import elpv


@task(name="write-demo-folders")
def write_demo_folders(workspace: Workspace) -> elpv.DemoFolders:
    """Labelled folder and inbox of solar cells; written once."""
    return elpv.write_elpv_folders(workspace.demo_dir)
