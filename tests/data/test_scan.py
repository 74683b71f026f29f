from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from models.artifacts.tables import MANIFEST, decode_table, encode_table
from models.data.elpv import write_elpv_folders
from models.data.listing import listing_table
from models.data.scan import ScanSettings, read_slices, scan_folder
from models.errors import ContractBroken, DataError, EmptyFolder
from tests.pictures import write_labelled


def test_manifest_has_one_true_row_a_file(tmp_path: Path) -> None:
    folder = write_labelled(tmp_path / "f", {"down": 3, "side": 2})
    (folder / "down" / "broken.png").write_bytes(b"")
    (folder / "stray.png").write_bytes((folder / "side" / "0000.png").read_bytes())
    manifest = scan_folder(folder, listing_table(folder), ScanSettings())
    rows = {row["path"]: row for row in manifest.to_pylist()}
    assert set(rows) == {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
    row = rows["down/0001.png"]
    data = (folder / "down" / "0001.png").read_bytes()
    assert row["image_id"] == row["group_id"] == hashlib.sha256(data).hexdigest()
    assert (row["label"], row["status"], row["size_bytes"]) == ("down", "ok", len(data))
    assert (row["width_px"], row["height_px"], row["format"], row["mode"]) == (40, 40, "PNG", "RGB")
    assert row["slices"] == [("camera", "left")]
    assert (rows["down/broken.png"]["status"], rows["down/broken.png"]["reason"]) == ("unreadable", "empty_file")
    assert (rows["stray.png"]["label"], rows["slices.csv"]["reason"]) == (None, "sidecar")


def test_equal_folders_give_equal_bytes(tmp_path: Path) -> None:
    manifests = []
    for name in ("a", "b"):
        folder = write_labelled(tmp_path / name, {"down": 3, "side": 2})
        manifests.append(encode_table(scan_folder(folder, listing_table(folder), ScanSettings())))
    assert manifests[0] == manifests[1]
    with pytest.raises(ContractBroken, match="a table does not read as parquet"):
        decode_table(manifests[0][:-10], MANIFEST)


def test_folder_without_a_picture_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(EmptyFolder, match=r"holds no picture that decodes \(1 files of any kind\)"):
        scan_folder(tmp_path, listing_table(tmp_path), ScanSettings())


def test_slices_that_do_not_read_are_refused_and_quoted_lines_are_kept(tmp_path: Path) -> None:
    folder = write_labelled(tmp_path / "f", {"down": 1})
    (folder / "slices.csv").write_bytes("path,camera\ndown/0000.png,caf\u00e9\n".encode("cp1252"))
    with pytest.raises(DataError, match=r"slices\.csv cannot be read .* Expected a CSV table in UTF-8"):
        scan_folder(folder, listing_table(folder), ScanSettings())
    (folder / "slices.csv").write_text('path,note\ndown/0000.png,"one\ntwo"\n,\n')
    assert read_slices(folder) == {"down/0000.png": {"note": "one\ntwo"}}


def test_slices_without_a_path_column_are_refused(tmp_path: Path) -> None:
    folder = write_labelled(tmp_path / "f", {"down": 1})
    (folder / "slices.csv").write_text("file,camera\na,b\n")
    with pytest.raises(DataError, match=r"has columns file, camera\. Expected a column `path`"):
        scan_folder(folder, listing_table(folder), ScanSettings())


def test_demo_folders_hold_the_whole_data_set_once(tmp_path: Path) -> None:
    folders = write_elpv_folders(tmp_path)
    counts = {p.name: len(list(p.iterdir())) for p in folders.labelled.iterdir() if p.is_dir()}
    inbox = [p.name for p in folders.inbox.iterdir()]
    good = [name for name in inbox if name.startswith("cell")]
    assert sum(counts.values()) + len(good) == 2624
    assert len(inbox) - len(good) == 6
    assert counts["defect-000"] / counts["defect-067"] == pytest.approx(14, rel=0.15)
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
    assert write_elpv_folders(tmp_path) == folders
    assert before == {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
