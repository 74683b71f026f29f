from __future__ import annotations

from pathlib import Path

import pytest

from models.artifacts.durable import write_durably
from models.artifacts.ref import open_checked, seal
from models.artifacts.workspace import Workspace
from models.errors import ArtifactChanged, ArtifactMissing, StorageError


def test_write_replaces_whole_and_leaves_no_temporary_file(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "file"
    write_durably(target, b"one")
    write_durably(target, b"two")
    assert target.read_bytes() == b"two"
    assert [p.name for p in target.parent.iterdir()] == ["file"]


def test_exclusive_write_keeps_what_is_there(tmp_path: Path) -> None:
    target = tmp_path / "file"
    write_durably(target, b"first", exclusive=True)
    with pytest.raises(FileExistsError):
        write_durably(target, b"second", exclusive=True)
    assert target.read_bytes() == b"first"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match=r"file.*could not be made: .*Free space") as error:
        Workspace.open(tmp_path / "file" / "workspace")
    assert error.value.exit_code == 74


def test_sealing_the_same_bytes_twice_gives_one_file(tmp_path: Path) -> None:
    workspace = Workspace.open(tmp_path)
    first = seal(workspace, "thing", b"abc", suffix=".bin", rows=1)
    before = first.path.stat().st_mtime_ns
    assert seal(workspace, "thing", b"abc", suffix=".bin", rows=1) == first
    assert first.path.stat().st_mtime_ns == before
    assert open_checked(first) == b"abc"


def test_altered_and_missing_artifacts_refuse(tmp_path: Path) -> None:
    ref = seal(Workspace.open(tmp_path), "thing", b"abc", suffix=".bin", rows=1)
    ref.path.write_bytes(b"abd")
    assert not ref.is_intact()
    with pytest.raises(ArtifactChanged, match="as it was sealed"):
        open_checked(ref)
    ref.path.unlink()
    assert not ref.is_intact()
    with pytest.raises(ArtifactMissing, match="is gone"):
        open_checked(ref)
