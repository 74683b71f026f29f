"""Scans a listed folder."""

from __future__ import annotations

from pathlib import Path

from prefect import task

from models.artifacts.ref import ArtifactRef, open_checked, seal
from models.artifacts.tables import decode_table, encode_table
from models.artifacts.workspace import Workspace
from models.data import scan
from models.data.listing import LISTING
from tasks.caching import SEALED
from tasks.progress import progress_of


@task(name="scan-folder", cache_policy=SEALED, persist_result=True, result_serializer="json")
def scan_folder(folder: Path, listing: ArtifactRef, settings: scan.ScanSettings, workspace: Workspace) -> ArtifactRef:
    """Manifest of a listed folder, one row a file."""
    entries = decode_table(open_checked(listing), LISTING)
    manifest = scan.scan_folder(folder, entries, settings, progress_of("scan"))
    return seal(workspace, "manifest", encode_table(manifest), suffix=".parquet", rows=manifest.num_rows)
