from __future__ import annotations

import csv
import hashlib
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from models.artifacts.tables import MANIFEST, decode_table, encode_table, read_batches, write_batches
from models.data.elpv import write_elpv_folders
from models.data.isolation import IsolationSettings
from models.data.listing import LISTING, listing_batches, listing_table
from models.data.scan import ScanJob, ScanSettings, has_labels, list_and_scan, scan_folder, scan_to_file
from models.errors import ContractBroken, DataError, EmptyFolder
from tests.pictures import draw, write_inbox, write_labelled, write_raw_name

Rows = dict[str, dict[str, object]]


def _scan(folder: Path, **settings: object) -> Rows:
    manifest = scan_folder(folder, listing_table(folder), ScanSettings.model_validate(settings))
    return {row["path"]: row for row in manifest.to_pylist()}


def test_manifest_has_one_true_row_a_file(tmp_path: Path) -> None:
    folder = write_labelled(tmp_path / "f", {"down": 3, "side": 2})
    (folder / "down" / "broken.png").write_bytes(b"")
    (folder / "stray.png").write_bytes((folder / "side" / "0000.png").read_bytes())
    write_raw_name(folder / "side", b"caf\xe9.png", (folder / "side" / "0001.png").read_bytes())
    rows = _scan(folder)
    assert len(rows) == sum(len(files) for _, _, files in os.walk(folder))
    row = rows["down/0001.png"]
    data = (folder / "down" / "0001.png").read_bytes()
    assert row["image_id"] == row["group_id"] == hashlib.sha256(data).hexdigest()
    assert (row["label"], row["status"], row["size_bytes"]) == ("down", "ok", len(data))
    assert (row["width_px"], row["height_px"], row["format"], row["mode"]) == (40, 40, "PNG", "RGB")
    assert (row["frames"], row["orientation"], row["is_grey"]) == (1, 1, False)
    assert row["slices"] == [("camera", "left")]
    assert (rows["down/broken.png"]["status"], rows["down/broken.png"]["reason"]) == ("unreadable", "empty_file")
    assert (rows["stray.png"]["label"], rows["slices.csv"]["reason"]) == (None, "sidecar")
    raw = rows["side/caf\\xe9.png"]
    assert (raw["status"], raw["path_bytes"]) == ("ok", b"side/caf\xe9.png")


def test_equal_folders_give_equal_bytes_however_many_workers_scan_them(tmp_path: Path) -> None:
    manifests = []
    for name, workers in (("a", 1), ("b", 3)):
        folder = write_labelled(tmp_path / name, {"down": 40, "side": 30})
        settings = ScanSettings(isolation=IsolationSettings(workers=workers))
        manifests.append(encode_table(scan_folder(folder, listing_table(folder), settings)))
    assert manifests[0] == manifests[1]
    with pytest.raises(ContractBroken, match="a table does not read as parquet"):
        decode_table(manifests[0][:-10], MANIFEST)


def test_scan_in_parts_gives_the_rows_of_the_scan_in_memory(tmp_path: Path) -> None:
    folder = write_labelled(tmp_path / "f", {"down": 30, "side": 30})
    (folder / "side" / "copy.png").write_bytes((folder / "down" / "0000.png").read_bytes())
    listing = tmp_path / "listing.parquet"
    assert write_batches(listing, listing_batches(folder, rows=7), LISTING) == 62
    job = ScanJob(folder, ScanSettings(), 62)
    assert scan_to_file(job, read_batches(listing, LISTING), tmp_path / "manifest.parquet") == 62
    whole = scan_folder(folder, listing_table(folder), ScanSettings())
    assert decode_table((tmp_path / "manifest.parquet").read_bytes(), MANIFEST).equals(whole)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["f", "listing.parquet", "manifest.parquet"]


def test_copies_and_near_copies_share_a_group_and_strangers_do_not(tmp_path: Path) -> None:
    folder = tmp_path / "f" / "a"
    folder.mkdir(parents=True)
    picture = draw("round", np.random.default_rng(3), side_px=90)
    picture.save(folder / "one.png")
    picture.save(folder / "same.png")
    picture.resize((80, 80)).save(folder / "near.jpg", quality=70)
    draw("down", np.random.default_rng(4), side_px=90).save(folder / "other.png")
    rows = _scan(tmp_path / "f")
    groups = {name: rows[f"a/{name}"]["group_id"] for name in ("one.png", "same.png", "near.jpg", "other.png")}
    assert groups["one.png"] == groups["same.png"] == groups["near.jpg"] != groups["other.png"]
    ids = {str(rows[f"a/{name}"]["image_id"]) for name in ("one.png", "near.jpg")}
    assert groups["one.png"] == min(ids), "the smallest digest stands for the group, whatever the order"
    assert rows["a/other.png"]["duplicate_group"] is None
    exact = _scan(tmp_path / "f", near_duplicate_bits=-1)
    assert exact["a/one.png"]["group_id"] == exact["a/same.png"]["group_id"] != exact["a/near.jpg"]["group_id"]


def test_users_groups_join_and_keep_their_name(tmp_path: Path) -> None:
    folder = write_labelled(tmp_path / "f", {"down": 4, "side": 1})
    (folder / "labels.csv").write_text("path,group\ndown/0000.png,wafer 7\ndown/0001.png,wafer 7\ndown/0002.png,w8\n")
    rows = _scan(folder)
    assert rows["down/0000.png"]["group_id"] == rows["down/0001.png"]["group_id"] == "wafer 7"
    assert rows["down/0002.png"]["group_id"] == "w8"
    assert rows["down/0003.png"]["group_id"] == rows["down/0003.png"]["image_id"]


def test_row_of_a_label_table_without_a_file_is_a_row(tmp_path: Path) -> None:
    folder = write_labelled(tmp_path / "f", {"down": 2})
    (folder / "labels.csv").write_text("path,label\ndown/0000.png,a\nlost/1.png,b\n")
    rows = _scan(folder)
    lost = rows["lost/1.png"]
    assert (lost["status"], lost["reason"], lost["label"]) == ("vanished", "not_found", "b")
    assert rows["down/0001.png"]["label"] is None, "what the table does not name has no label"


def test_quarantined_file_is_left_out_until_its_bytes_change(tmp_path: Path) -> None:
    folder = write_labelled(tmp_path / "f", {"down": 3})
    target = folder / "down" / "0001.png"
    listed = tmp_path / "list.csv"
    with listed.open("w", newline="") as file:
        csv.writer(file).writerows(
            [("path", "sha256"), ("down/0001.png", hashlib.sha256(target.read_bytes()).hexdigest())]
        )
    row = _scan(folder, quarantine=str(listed))["down/0001.png"]
    assert (row["status"], row["reason"]) == ("ignored", "quarantined")
    target.write_bytes((folder / "down" / "0000.png").read_bytes())
    assert _scan(folder, quarantine=str(listed))["down/0001.png"]["status"] == "ok"
    with pytest.raises(DataError, match=r"quarantine list .* cannot be read"):
        _scan(folder, quarantine=str(folder / "nowhere.csv"))


def test_file_that_changed_since_it_was_listed_is_changed(tmp_path: Path) -> None:
    folder = write_labelled(tmp_path / "f", {"down": 2})
    listing = listing_table(folder)
    (folder / "down" / "0000.png").write_bytes((folder / "down" / "0001.png").read_bytes() + b"more")
    (folder / "down" / "0001.png").unlink()
    (folder / "down" / "0002.png").write_bytes(b"late")
    with pytest.raises(EmptyFolder, match=r"3 files of any kind: 1 changed, 1 ignored, 1 vanished"):
        scan_folder(folder, listing, ScanSettings())


def test_folder_without_a_picture_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(EmptyFolder, match=r"holds no picture that decodes \(1 files of any kind: 1 unsupported\)"):
        scan_folder(tmp_path, listing_table(tmp_path), ScanSettings())


def test_flat_layout_says_that_there_are_no_labels(tmp_path: Path) -> None:
    folder = write_labelled(tmp_path / "f", {"down": 2})
    flat = scan_folder(folder, listing_table(folder), ScanSettings(layout="flat"))
    assert not has_labels(flat)
    assert set(flat["label"].to_pylist()) == {None}
    assert has_labels(scan_folder(folder, listing_table(folder), ScanSettings()))


def test_progress_counts_every_file(tmp_path: Path) -> None:
    folder = write_labelled(tmp_path / "f", {"down": 5})
    seen: list[tuple[int, int]] = []
    scan_folder(folder, listing_table(folder), ScanSettings(), lambda done, total: seen.append((done, total)))
    assert seen[-1] == (6, 6)


def test_listing_is_not_altered(tmp_path: Path) -> None:
    listing = listing_table(write_labelled(tmp_path / "f", {"down": 2}))
    before = pa.Table.from_batches(listing.to_batches())
    scan_folder(tmp_path / "f", listing, ScanSettings())
    assert listing.equals(before)


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


def test_a_folder_as_it_is_now_leaves_out_what_is_still_being_written(tmp_path: Path) -> None:
    """The commands that list and scan in one go obey the settle time, as the flows do."""
    folder = write_inbox(tmp_path / "inbox", 2, damaged=False)
    os.utime(folder / "picture-0000.png", (0, 0))
    table = list_and_scan(folder, ScanSettings(settle_seconds=3600))
    told = {row["path"]: (row["status"], row["reason"]) for row in table.to_pylist()}
    assert told == {"picture-0000.png": ("ok", None), "picture-0001.png": ("changed", "still_written")}
