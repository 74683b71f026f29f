"""Opens what a folder is compared with."""

from __future__ import annotations

from models.artifacts.ref import ArtifactRef, open_checked
from models.artifacts.tables import LABEL_ISSUES, MANIFEST, decode_table
from models.data.folder_profile import profile_manifest
from models.serving.data_history import DataBefore
from validation.suites import Reference


def open_reference(before: DataBefore, label_issues: ArtifactRef | None = None) -> Reference:
    """The reference behind the addresses, every digest checked."""
    earlier = profile_manifest(decode_table(open_checked(before.manifest), MANIFEST)) if before.manifest else None
    issues = decode_table(open_checked(label_issues), LABEL_ISSUES) if label_issues else None
    return Reference(before.champion_classes, earlier, issues)
