"""Scans a listed folder."""

from __future__ import annotations

from pathlib import Path

from prefect import task

from models.artifacts.ref import ArtifactRef, checked_path, seal_file
from models.artifacts.tables import read_batches
from models.artifacts.workspace import Workspace
from models.data import scan
from models.data.listing import LISTING
from tasks.caching import SEALED
from tasks.progress import progress_of


@task(name="scan-folder", cache_policy=SEALED, persist_result=True, result_serializer="json")
def scan_folder(folder: Path, listing: ArtifactRef, settings: scan.ScanSettings, workspace: Workspace) -> ArtifactRef:
    """Manifest of a listed folder, one row a file."""
    job = scan.ScanJob(folder, settings, listing.rows)
    entries = read_batches(checked_path(listing), LISTING)
    on_progress = progress_of("scan")
    return seal_file(
        workspace, "manifest", lambda path: scan.scan_to_file(job, entries, path, on_progress), suffix=".parquet"
    )
