"""An earlier answer counts only while the files that settings name say what they said."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from prefect import flow

from models.artifacts.records import Verdict
from models.artifacts.ref import ArtifactRef, open_checked, read_record
from models.artifacts.tables import MANIFEST, decode_table
from models.artifacts.workspace import Workspace
from models.data.scan import ScanSettings
from models.serving.data_history import DataBefore
from models.settings import Settings, named_files
from tasks.judge_manifest import judge_manifest
from tasks.list_folder import list_folder
from tasks.scan_folder import scan_folder
from tests.pictures import write_labelled
from validation.suites import ValidationSettings

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@flow(name="scan-and-judge")
def scan_and_judge(
    folder: Path, root: Path, scan: ScanSettings, validation: ValidationSettings
) -> tuple[ArtifactRef, ArtifactRef]:
    """Manifest and verdict of a folder."""
    workspace = Workspace.open(root)
    manifest = scan_folder(folder, list_folder(folder, scan, NOW, workspace), scan, workspace)
    return manifest, judge_manifest(manifest, DataBefore(), validation, workspace)


@pytest.mark.usefixtures("prefect_backend")
def test_edited_label_table_or_rules_file_outside_the_folder_is_read_again(tmp_path: Path) -> None:
    folder = write_labelled(tmp_path / "pictures", {"down": 3, "side": 3})
    paths = [str(path.relative_to(folder)) for path in sorted(folder.rglob("*.png"))]
    table, rules = tmp_path / "labels.csv", tmp_path / "rules.json"
    scan, validation = ScanSettings(labels=str(table)), ValidationSettings(rules_file=str(rules))

    def run(labels: list[str], severity: str) -> tuple[list[str], bool]:
        table.write_text("path,label\n" + "".join(f"{p},{label}\n" for p, label in zip(paths, labels, strict=True)))
        entry = {"meta": {"rule": "at_least_two_classes"}, "severity": severity}
        rules.write_text(json.dumps({"expectations": [entry]}))
        manifest, verdict = scan_and_judge(folder, tmp_path / "workspace", scan, validation)
        labels_read = decode_table(open_checked(manifest), MANIFEST)["label"].drop_null().to_pylist()
        asked = {finding.rule for finding in read_record(verdict, Verdict).findings}
        return labels_read, "at_least_two_classes" in asked

    assert run(["a", "b"] * 3, "critical") == (["a", "b"] * 3, True)
    assert run(["a", "b"] * 3, "off") == (["a", "b"] * 3, False)
    assert run(["b", "a"] * 3, "off") == (["b", "a"] * 3, False)


def test_settings_know_the_files_that_they_name() -> None:
    class Outer(Settings):
        inner: ScanSettings

    assert named_files(Outer(inner=ScanSettings(labels="a.csv"))) == [Path("a.csv")]
    assert named_files(ScanSettings()) == []
    assert named_files(ScanSettings(labels="a.csv", quarantine="b.csv")) == [Path("a.csv"), Path("b.csv")]
