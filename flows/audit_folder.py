"""A folder's manifest, the verdict on it and the page about it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from prefect import flow

from flows.places import require_allowed
from models.artifacts.ref import ArtifactRef
from models.artifacts.workspace import Workspace
from models.data.scan import ScanSettings
from tasks.judge_manifest import judge_manifest
from tasks.list_folder import list_folder
from tasks.recall_data import recall_data
from tasks.require_accepted import require_accepted
from tasks.scan_folder import scan_folder
from tasks.write_audit_report import write_audit_report
from validation.suites import ValidationSettings


@flow(name="audit-folder", persist_result=False)
def audit_folder(
    folder: Path,
    workspace_root: Path = Path("workspace"),
    name: str = "",
    scan: ScanSettings = ScanSettings(),  # noqa: B008 - frozen, and the form shows it
    validation: ValidationSettings = ValidationSettings(),  # noqa: B008
) -> ArtifactRef:
    """Verdict on a folder; the run fails where a critical rule does.

    Args:
        folder: Pictures in one folder a class, with a table of labels, or without any.
        workspace_root: Folder that holds all that Sortline writes.
        name: Name of a model with whose champion and last data the folder is compared; empty for none.
        scan: How the folder is read.
        validation: What the folder has to look like.
    """
    require_allowed(str(folder), str(workspace_root))
    workspace = Workspace.open(workspace_root)
    listing = list_folder(folder, scan, datetime.now(UTC), workspace)
    manifest = scan_folder(folder, listing, scan, workspace)
    before = recall_data(name, manifest, workspace)
    verdict = judge_manifest(manifest, before, validation, workspace)
    write_audit_report(folder, manifest, verdict, workspace)
    require_accepted(verdict)
    return verdict
