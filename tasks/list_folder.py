"""Lists a folder."""

from __future__ import annotations

from pathlib import Path

from prefect import task

from models.artifacts.ref import ArtifactRef, seal
from models.artifacts.tables import encode_table
from models.artifacts.workspace import Workspace
from models.data.listing import listing_table, require_apart


@task(name="list-folder")
def list_folder(folder: Path, workspace: Workspace) -> ArtifactRef:
    """Every file below a folder, with size and times; what changes in the folder changes its digest."""
    require_apart(folder, workspace.root)
    table = listing_table(folder)
    return seal(workspace, "listing", encode_table(table), suffix=".parquet", rows=table.num_rows)
