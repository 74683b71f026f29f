"""Somebody's own flow: which pictures of a delivery are worth labelling at all."""

from datetime import UTC, datetime
from pathlib import Path

import pyarrow.compute as pc
from prefect import flow

from models.artifacts.ref import checked_path
from models.artifacts.tables import MANIFEST, read_batches
from models.artifacts.workspace import Workspace
from models.data.scan import ScanSettings
from tasks.list_folder import list_folder
from tasks.scan_folder import scan_folder


@flow
def worth_labelling(delivery: Path, workspace_root: Path) -> list[str]:
    """Paths of pictures that decode, are not blurred, and are no copy of another one."""
    workspace, settings = Workspace.open(workspace_root), ScanSettings()
    listing = list_folder(delivery, settings, datetime.now(UTC), workspace)
    manifest = scan_folder(delivery, listing, settings, workspace)
    found: dict[str, str] = {}
    for batch in read_batches(checked_path(manifest), MANIFEST):
        is_good = pc.and_(pc.equal(batch["status"], "ok"), pc.greater(batch["sharpness"], 0.29))
        for row in batch.filter(is_good).to_pylist():
            found.setdefault(row["duplicate_group"] or row["image_id"], row["path"])
    return list(found.values())
