"""Planted label errors, leaks, shortcuts and near copies: how many are found, how much is found that was not planted.

Real pictures: scikit-learn's digits (1,797, drawn 64 px large) and the ELPV solar cells. n and all shares are in the
result file; nothing here is tuned to what it finds.
"""

from __future__ import annotations

import io
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image, ImageEnhance
from sklearn.datasets import load_digits

from benchmarks.result_file import write_result
from models.artifacts.tables import SPLIT
from models.data.elpv import write_elpv_folders
from models.data.listing import listing_table
from models.data.scan import ScanSettings, scan_folder
from models.data.split import SplitSettings, assign_splits
from models.learning.label_errors import find_label_errors
from validation.suites import ValidationSettings, judge_manifest, judge_split

PLANTED_SHARE = 0.05
COPIES = 200
SEED = 0
_CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "compressed": lambda p: p,
    "resized_to_0.7": lambda p: p.resize((int(p.width * 0.7), int(p.height * 0.7))),
    "brightened_by_0.15": lambda p: ImageEnhance.Brightness(p).enhance(1.15),
    "cropped_by_0.013": lambda p: p.crop((p.width // 100 + 1, p.height // 100 + 1, p.width, p.height)),
}


def write_digits(folder: Path) -> dict[str, str]:
    """One picture a digit, in one folder a class; the class of each path."""
    digits = load_digits()
    truth = {}
    for k, (pixels, label) in enumerate(zip(digits.images, digits.target, strict=True)):
        name = f"{label}/{k:04}.png"
        (folder / str(label)).mkdir(parents=True, exist_ok=True)
        Image.fromarray((pixels * 15).astype(np.uint8)).resize((64, 64), Image.Resampling.BICUBIC).save(folder / name)
        truth[name] = str(label)
    return truth


def label_errors(folder: Path, features: Path) -> dict[str, Any]:
    """Moves some pictures into a wrong class folder and looks for them."""
    rng = np.random.default_rng(SEED)
    classes = sorted(path.name for path in folder.iterdir() if path.is_dir())
    paths = sorted(path for path in folder.rglob("*.png"))
    planted = set()
    for k in rng.choice(len(paths), int(len(paths) * PLANTED_SHARE), replace=False):
        old = paths[k]
        new = folder / str(rng.choice([c for c in classes if c != old.parent.name])) / f"moved-{old.name}"
        shutil.move(old, new)
        planted.add(str(new.relative_to(folder)))
    manifest = scan_folder(folder, listing_table(folder), ScanSettings())
    found = set(find_label_errors(folder, manifest, features)["path"].to_pylist())
    return {"pictures": len(paths), **_hits(found, planted)}


def near_copies(folder: Path) -> dict[str, Any]:
    """Adds changed copies of some pictures, and counts which copies join their original and which strangers do."""
    before = scan_folder(folder, listing_table(folder), ScanSettings())
    rng = np.random.default_rng(SEED)
    paths = sorted(folder.rglob("*.png"))
    kin: dict[str, str] = {}
    for k, source in enumerate(rng.choice(len(paths), COPIES, replace=False)):
        original = paths[source]
        target = original.with_name(f"copy-{k:03}.jpg")
        target.write_bytes(_changed(Image.open(original).convert("L"), k))
        kin[str(target.relative_to(folder))] = str(original.relative_to(folder))
    after = scan_folder(folder, listing_table(folder), ScanSettings())
    group = dict(zip(after["path"].to_pylist(), after["group_id"].to_pylist(), strict=True))
    joined = [group[copy] == group[original] for copy, original in kin.items()]
    shared = {g for g in before["duplicate_group"].to_pylist() if g is not None}
    split = assign_splits(after, SplitSettings())
    side = dict(zip(split["path"].to_pylist(), split["split"].to_pylist(), strict=True))
    straddling = sum(side[c] != side[o] for c, o in kin.items() if group[c] == group[o])
    return {
        "copies": COPIES,
        "joined_share": round(sum(joined) / COPIES, 4),
        "joined_share_by_change": {
            name: round(sum(joined[k :: len(_CHANGES)]) / len(joined[k :: len(_CHANGES)]), 4)
            for k, name in enumerate(_CHANGES)
        },
        "joined_copies_across_splits": straddling,
        "clusters_without_planting": len(shared),
        "pictures_in_them": len(before["duplicate_group"].drop_null()),
        "pictures": before.num_rows,
    }


def leaks(folder: Path) -> dict[str, Any]:
    """Puts copies of test pictures into train, as a division by hand would, and counts which are named."""
    manifest = scan_folder(folder, listing_table(folder), ScanSettings())
    split = assign_splits(manifest, SplitSettings())
    rng = np.random.default_rng(SEED)
    test = np.flatnonzero([s == "test" for s in split["split"].to_pylist()])
    leaked = split.take(pa.array(rng.choice(test, 50, replace=False)))
    names = [f"leak/{k}.png" for k in range(50)]
    columns = {"path": pa.array(names), "split": pa.array(["train"] * 50)}
    copies = pa.table([columns.get(name, leaked[name]) for name in SPLIT.names], schema=split.schema)
    offenders = judge_split(pa.concat_tables([split, copies]), ValidationSettings()).offenders
    rows = [row for row in offenders.to_pylist() if row["rule"] == "no_picture_in_two_splits"]
    return _hits({row["path"] for row in rows}, {*names, *leaked["path"].to_pylist()})


def shortcuts(folder: Path, rounds: int = 20) -> dict[str, Any]:
    """Makes one property of one class different, round by round; clean folders and planted ones count alike."""
    manifest = scan_folder(folder, listing_table(folder), ScanSettings())
    rng = np.random.default_rng(SEED)
    classes = sorted(set(manifest["label"].drop_null().to_pylist()))
    properties = ("brightness", "contrast", "size_bytes", "width_px", "format")
    hits = alarms = 0
    for k in range(rounds):
        shuffled = pa.array(rng.permutation(np.asarray(manifest["label"].to_pylist(), dtype=object)).tolist())
        clean = manifest.set_column(manifest.schema.get_field_index("label"), manifest.schema.field("label"), shuffled)
        alarms += bool(_named_shortcuts(clean))
        name, label = properties[k % len(properties)], str(rng.choice(classes))
        hits += any(item.startswith(f"{name} tells") for item in _named_shortcuts(_tilted(clean, name, label, rng)))
    return {"rounds": rounds, "found_share": hits / rounds, "false_alarm_share": alarms / rounds}


def _tilted(manifest: pa.Table, name: str, label: str, rng: np.random.Generator) -> pa.Table:
    """The manifest with a property of most pictures of one class changed."""
    inside = np.asarray([found == label for found in manifest["label"].to_pylist()]) & (
        rng.uniform(size=manifest.num_rows) < 0.97
    )
    field = manifest.schema.field(name)
    if name == "format":
        values = np.where(inside, "JPEG", np.asarray(manifest[name].to_pylist(), dtype=object)).tolist()
    else:
        column = manifest[name].to_numpy().astype(np.float64)
        values = np.where(inside, np.nanmax(column) * 1.1, column)
    column = pa.array(values, from_pandas=True).cast(field.type, safe=False)
    return manifest.set_column(manifest.schema.get_field_index(name), field, column)


def _named_shortcuts(manifest: pa.Table) -> tuple[str, ...]:
    verdict = judge_manifest(manifest, ValidationSettings()).verdict
    (finding,) = (f for f in verdict.findings if f.rule == "no_shortcut")
    return finding.items


def _changed(picture: Image.Image, k: int) -> bytes:
    """JPEG bytes of a picture that was changed in one of the ways, by turns."""
    buffer = io.BytesIO()
    change = list(_CHANGES.values())[k % len(_CHANGES)]
    change(picture).save(buffer, "JPEG", quality=60 + k % 30)
    return buffer.getvalue()


def _hits(found: set[str], planted: set[str]) -> dict[str, Any]:
    right = len(found & planted)
    return {
        "planted": len(planted),
        "found": len(found),
        "precision": round(right / max(len(found), 1), 4),
        "recall": round(right / max(len(planted), 1), 4),
    }


def measure() -> dict[str, Any]:
    """All figures."""
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        write_digits(root / "digits")
        cells = write_elpv_folders(root / "elpv").labelled
        shutil.copytree(cells, root / "cells")
        return {
            "shortcuts_elpv": shortcuts(cells),
            "leaks_elpv": leaks(cells),
            "near_copies_elpv": near_copies(root / "cells"),
            "label_errors_digits": label_errors(root / "digits", root / "features"),
            "label_errors_elpv": label_errors(cells, root / "features"),
        }


if __name__ == "__main__":
    sys.stdout.write(f"{write_result('data_quality', 1, measure())}\n")
