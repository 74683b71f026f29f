from __future__ import annotations

import os
from pathlib import Path

import pytest

from models.data.listing import file_name, listing_table, require_folder, safe_name
from models.errors import SettingsError
from tests.pictures import write_raw_name


def test_every_entry_has_one_row_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "x.png").write_bytes(b"1")
    (tmp_path / "a.txt").write_bytes(b"22")
    (tmp_path / ".DS_Store").write_bytes(b"3")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "y.png").write_bytes(b"4")
    (tmp_path / "slices.csv").write_text("path\n")
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "link.png").symlink_to(tmp_path / "a.txt")
    rows = {r["path"]: (r["status"], r["reason"], r["size_bytes"]) for r in listing_table(tmp_path).to_pylist()}
    assert rows["b/x.png"] == (None, None, 1)
    assert rows["a.txt"] == (None, None, 2)
    reasons = {path: reason for path, (status, reason, _) in rows.items() if status == "ignored"}
    assert reasons == {
        ".DS_Store": "system_file",
        ".git": "system_file",
        "slices.csv": "sidecar",
        "pipe.png": "not_a_file",
        "loop": "symlink",
        "link.png": "symlink",
    }
    assert len(rows) == 8


def test_order_is_that_of_names_and_not_of_the_disk(tmp_path: Path) -> None:
    for name in ("b", "a", "c"):
        (tmp_path / name).write_bytes(b"")
    assert listing_table(tmp_path)["path"].to_pylist() == ["a", "b", "c"]


def test_name_that_is_not_utf8_keeps_its_bytes(tmp_path: Path) -> None:
    write_raw_name(tmp_path, b"caf\xe9.png", b"x")
    (row,) = listing_table(tmp_path).to_pylist()
    assert row["path"] == "caf\\xe9.png"
    assert row["path_bytes"] == b"caf\xe9.png"
    assert (tmp_path / file_name(row)).read_bytes() == b"x"
    assert safe_name("plain") == ("plain", None)


def test_folder_that_is_none_is_wrong_use(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(SettingsError, match=r"is a file\. Expected a folder of pictures"):
        require_folder(tmp_path / "file")
    with pytest.raises(SettingsError, match="does not exist"):
        require_folder(tmp_path / "nowhere")
