from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.data import listing
from models.data.listing import file_name, list_entries, listing_batches, listing_table, require_folder, safe_name
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


def test_file_that_was_written_just_now_waits_where_one_asks_for_it(tmp_path: Path) -> None:
    for name, mtime_ns in (("old", 10), ("young", 20)):
        (tmp_path / name).write_bytes(b"")
        os.utime(tmp_path / name, ns=(mtime_ns, mtime_ns))
    found = {entry.name: (entry.status, entry.reason) for entry in list_entries(tmp_path, written_before_ns=20)}
    assert found == {"old": (None, None), "young": ("changed", "still_written")}
    assert {entry.status for entry in list_entries(tmp_path)} == {None}


def test_tables_beside_the_pictures_are_sidecars_at_the_top_only(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for folder in (tmp_path, tmp_path / "a"):
        (folder / "labels.csv").write_text("path\n")
    found = {entry.name: entry.reason for entry in list_entries(tmp_path)}
    assert found == {"labels.csv": "sidecar", "a/labels.csv": None}


def test_tree_deeper_than_python_may_recurse(tmp_path: Path) -> None:
    place = os.open(tmp_path, os.O_RDONLY)
    for _ in range(1200):
        os.mkdir("d", dir_fd=place)
        inner = os.open("d", os.O_RDONLY, dir_fd=place)
        os.close(place)
        place = inner
    os.close(os.open("x.png", os.O_CREAT, dir_fd=place))
    os.close(place)
    (entry,) = list_entries(tmp_path)
    assert entry.name == "d/" * 1200 + "x.png"
    # Neither pytest nor shutil can take such a tree away.
    subprocess.run(["rm", "-rf", str(tmp_path / "d")], check=True)


raw_names = st.binary(min_size=1, max_size=6).filter(lambda name: b"\0" not in name)


@given(names=st.lists(raw_names, unique=True), run=st.integers(1, 4))
def test_names_are_in_order_however_they_are_packed(names: list[bytes], run: int) -> None:
    before = listing._PACKED_RUN
    listing._PACKED_RUN = run
    try:
        assert list(listing._sorted_names(iter(names))) == sorted(names)
    finally:
        listing._PACKED_RUN = before


def test_batches_hold_every_row_once(tmp_path: Path) -> None:
    for k in range(10):
        (tmp_path / f"{k}").write_bytes(b"")
    batches = list(listing_batches(tmp_path, rows=4))
    assert [batch.num_rows for batch in batches] == [4, 4, 2]
    assert [path for batch in batches for path in batch["path"].to_pylist()] == [f"{k}" for k in range(10)]


def test_what_may_not_be_read_is_denied(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir()
    (tmp_path / "names-only").mkdir()
    (tmp_path / "names-only" / "x.png").write_bytes(b"")
    (tmp_path / "names-only").chmod(0o744)
    (tmp_path / "closed").chmod(0)
    if os.geteuid() == 0:
        for place in [tmp_path, *(up for up in tmp_path.parents if up.name.startswith(("pytest-", "popen-")))]:
            place.chmod(0o755)
    # Root may read everything, so a child that is nobody looks.
    code = (
        "import os, sys, models.data.listing as listing; os.geteuid() or os.setuid(65534)\n"
        "from pathlib import Path\n"
        "print(sorted((e.name, e.status, e.reason) for e in listing.list_entries(Path(sys.argv[1]))))"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    (tmp_path / "closed").chmod(0o700)
    assert done.stdout.strip() == str(
        [("closed", "denied", "unreadable_folder"), ("names-only/x.png", "denied", "permission_denied")]
    )
