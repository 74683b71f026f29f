"""Lists a folder."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from prefect import task

from models.artifacts.ref import ArtifactRef, seal_file
from models.artifacts.tables import write_batches
from models.artifacts.workspace import Workspace
from models.data import listing
from models.data.scan import ScanSettings, written_before_ns


@task(name="list-folder")
def list_folder(folder: Path, settings: ScanSettings, now: datetime, workspace: Workspace) -> ArtifactRef:
    """Every file below a folder, with size and times; what changes in the folder changes its digest."""
    listing.require_apart(folder, workspace.root)
    batches = listing.listing_batches(folder, written_before_ns(settings, now))
    return seal_file(
        workspace, "listing", lambda path: write_batches(path, batches, listing.LISTING), suffix=".parquet"
    )
