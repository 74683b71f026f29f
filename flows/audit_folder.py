"""A folder's manifest and the verdict on it."""

from __future__ import annotations

from pathlib import Path

from prefect import flow

from models.artifacts.ref import ArtifactRef
from models.artifacts.workspace import Workspace
from models.data.scan import ScanSettings
from tasks.judge_manifest import judge_manifest
from tasks.list_folder import list_folder
from tasks.require_accepted import require_accepted
from tasks.scan_folder import scan_folder
from validation.suites import ValidationSettings


@flow(name="audit-folder", persist_result=False)
def audit_folder(
    folder: Path,
    workspace_root: Path = Path("workspace"),
    scan: ScanSettings = ScanSettings(),  # noqa: B008 - frozen, and the form shows it
    validation: ValidationSettings = ValidationSettings(),  # noqa: B008
) -> ArtifactRef:
    """Verdict on a labelled folder; the run fails where a critical rule does.

    Args:
        folder: Pictures in one folder a class.
        workspace_root: Folder that holds all that Sortline writes.
        scan: How the folder is read.
        validation: What the folder has to look like.
    """
    workspace = Workspace.open(workspace_root)
    manifest = scan_folder(folder, list_folder(folder, workspace), scan, workspace)
    verdict = judge_manifest(manifest, validation, workspace)
    require_accepted(verdict)
    return verdict
