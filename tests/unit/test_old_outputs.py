"""Outputs of released versions are read, verified, merged and gone on with."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from models.errors import SettingsError
from models.serving.commit import OutputStore
from models.serving.commit_log import Deed
from models.serving.compaction import compact
from models.serving.known_files import KnownFiles
from models.serving.reader import read_predictions
from models.serving.verify_output import verify_output

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture
def old(tmp_path: Path) -> OutputStore:
    """Written by 0.2: five files, one of them broken, in two parts."""
    return OutputStore(Path(shutil.copytree(GOLDEN / "predictions-2", tmp_path / "out")))


def test_rows_of_an_older_version_are_read_with_nulls_for_what_it_did_not_have(old: OutputStore) -> None:
    rows = {row["path"]: row for row in read_predictions(old.out).to_pylist()}
    assert {path: row["status"] for path, row in rows.items()} == {
        "broken.png": "unreadable",
        **{f"picture-{k:04}.png": "ok" for k in range(4)},
    }
    assert rows["picture-0000.png"]["label"] == "down"
    assert {row["probabilities"] for row in rows.values()} == {None}


def test_output_of_an_older_version_is_verified_known_and_merged(old: OutputStore) -> None:
    assert [check.name for check in verify_output(old) if not check.is_good] == []
    (commit,) = old.commits()
    assert KnownFiles(old, commit.bundle_sha256).is_known(old.plans.inputs(commit.plan_id)).all()
    before = old.read()
    assert compact(old, Deed("upkeep", "2026-02-01T00:00:00+00:00")).parts_after == 1
    assert old.read().equals(before)


@pytest.mark.parametrize("newer", [{"format": 9}, {"shape": "unheard of"}])
def test_output_of_a_newer_version_is_refused(old: OutputStore, newer: dict[str, object]) -> None:
    path = old.log.folder / "000000000001.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **newer}))
    with pytest.raises(SettingsError, match="of a format that this version does not know"):
        old.commits()
