"""The scan against plain decoding and against cleanvision; listing a million files; judging 100,000 rows.

Every ratio compares two things in one run, interleaved. Plain decoding reads each file, takes its sha256 and converts
it to RGB with Pillow, in as many threads or processes as there are cores, whichever is faster. The scan does that in
isolated workers, measures quality, finds copies, and its time includes starting the workers.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from benchmarks.pictures import write_cells, write_crops, write_ladder
from benchmarks.result_file import read_figures, write_result
from models.artifacts.tables import MANIFEST, write_batches
from models.data.elpv import write_elpv_folders
from models.data.folder_profile import profile_manifest
from models.data.isolation import IsolationSettings
from models.data.listing import LISTING, listing_batches, listing_table
from models.data.scan import ScanSettings, scan_folder
from models.parallel import usable_cores
from validation.suites import Reference, ValidationSettings, judge_manifest

ROUNDS = 3
PARTS = ("judge", "plain", "cleanvision", "listing")
CLEANVISION = Path(".venv-cleanvision/bin/python")
_CHUNK = 32


def decode_plainly(paths: Sequence[str]) -> int:
    """Number of files read, digested and decoded."""
    for path in paths:
        with open(path, "rb") as file:  # noqa: PTH123 - as plain as it gets
            data = file.read()
        hashlib.sha256(data).hexdigest()
        Image.open(io.BytesIO(data)).convert("RGB")
    return len(paths)


def compare_with_plain(folder: Path, rounds: int = ROUNDS) -> dict[str, Any]:
    """Files a second of each way, and the median of the rounds' ratios."""
    listing = listing_table(folder)
    read = listing.filter(listing["status"].is_null())["path"].to_pylist()
    paths = [str(folder / name) for name in read]
    chunks = [paths[k : k + _CHUNK] for k in range(0, len(paths), _CHUNK)]
    cores = usable_cores()
    found: dict[str, list[float]] = {"threads": [], "processes": [], "scan": [], "scan_one_worker": []}
    # The pools are started before the clock: only the scan pays for its workers.
    with ThreadPoolExecutor(cores) as threads, ProcessPoolExecutor(cores) as processes:
        list(processes.map(decode_plainly, chunks[: cores * 4]))
        ways: dict[str, Callable[[], object]] = {
            "threads": lambda: _all(threads, chunks),
            "processes": lambda: _all(processes, chunks),
            "scan": lambda: scan_folder(folder, listing, ScanSettings()),
            "scan_one_worker": lambda: scan_folder(
                folder, listing, ScanSettings(isolation=IsolationSettings(workers=1))
            ),
        }
        for _ in range(rounds):
            for name, way in ways.items():
                started = time.monotonic()
                way()
                found[name].append(len(paths) / (time.monotonic() - started))
    rounds_found = [dict(zip(found, values, strict=True)) for values in zip(*found.values(), strict=True)]
    return {
        "files": len(paths),
        **{f"{name}_per_s": round(statistics.median(values)) for name, values in found.items()},
        "scan_over_plain": _median(r["scan"] / max(r["threads"], r["processes"]) for r in rounds_found),
        "scan_over_one_worker": _median(r["scan"] / r["scan_one_worker"] for r in rounds_found),
    }


def _all(pool: Executor, chunks: list[list[str]]) -> int:
    return sum(pool.map(decode_plainly, chunks))


def _median(values: Any) -> float:
    return float(round(statistics.median(values), 3))


def compare_with_cleanvision(folder: Path, ladder: Path, rounds: int = 3) -> dict[str, Any]:
    """Ratio of speeds on one folder, and agreement of flags on a ladder of bad pictures."""
    listing = listing_table(folder)
    ratios, speeds = [], []
    for _ in range(rounds):
        started = time.monotonic()
        scan_folder(folder, listing, ScanSettings())
        ours = listing.num_rows / (time.monotonic() - started)
        theirs = _run_cleanvision(folder)
        speeds.append(theirs["pictures"] / theirs["elapsed_s"])
        ratios.append(ours / speeds[-1])
    return {
        "pictures": listing.num_rows,
        "cleanvision_per_s": round(statistics.median(speeds)),
        "scan_over_cleanvision": _median(ratios),
        "flags": _agreement(ladder, _run_cleanvision(ladder)["flags"]),
    }


def _run_cleanvision(folder: Path) -> dict[str, Any]:
    command = [str(CLEANVISION), "benchmarks/cleanvision_run.py", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def _agreement(folder: Path, theirs: dict[str, list[str]]) -> dict[str, Any]:
    """Of each issue, the share of our flags that are cleanvision's, and of its flags that are ours."""
    manifest = scan_folder(folder, listing_table(folder), ScanSettings())
    judged = judge_manifest(manifest, ValidationSettings(max_odd_share=0)).offenders.to_pylist()
    found = {}
    for issue in ("dark", "light", "blurry", "low_information"):
        ours = {row["path"] for row in judged if row["rule"] == issue}
        both = len(ours & set(theirs[issue]))
        found[issue] = {
            "cleanvision": len(theirs[issue]),
            "sortline": len(ours),
            "precision": round(both / max(len(ours), 1), 3),
            "recall": round(both / max(len(theirs[issue]), 1), 3),
        }
    return {"pictures": manifest.num_rows, **found}


def list_many(folder: Path, files: int) -> dict[str, float]:
    """Seconds and peak memory of listing, each size in a process of its own."""
    for name, count in (("small", files // 100), ("large", files), ("flat", files // 4)):
        per_folder = count if name == "flat" else 1000
        for k in range(count):
            if k % per_folder == 0:
                place = folder / name / f"{k // per_folder:05}"
                place.mkdir(parents=True)
            os.close(os.open(place / f"picture-{k:08}.png", os.O_CREAT | os.O_WRONLY))
    found = {name: _list_in_process(folder / name) for name in ("small", "large", "flat")}
    repeated = [_list_in_process(folder / name)["elapsed_s"] for name in ("small", "large") for _ in range(2)]
    small_s = statistics.median([found["small"]["elapsed_s"], *repeated[:2]])
    large_s = statistics.median([found["large"]["elapsed_s"], *repeated[2:]])
    return {
        "files": files,
        "elapsed_s": round(large_s, 2),
        "flat_files": files // 4,
        "flat_elapsed_s": round(found["flat"]["elapsed_s"], 2),
        "growth_mb": round(found["large"]["peak_mb"] - found["small"]["peak_mb"], 1),
        "flat_growth_mb": round(found["flat"]["peak_mb"] - found["small"]["peak_mb"], 1),
        "time_a_file_over_small": round(large_s / files / (small_s / (files // 100)), 2),
    }


def _list_in_process(folder: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.scan", "--list", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    answer: dict[str, float] = json.loads(done.stdout)
    return answer


def _list_here(folder: Path) -> dict[str, float]:
    """Lists a folder into a parquet file, as the task does."""
    with tempfile.NamedTemporaryFile(suffix=".parquet") as file:
        # The first table costs pyarrow its start, which is no part of listing.
        write_batches(Path(file.name), iter(()), LISTING)
        started = time.monotonic()
        write_batches(Path(file.name), listing_batches(folder), LISTING)
        elapsed = time.monotonic() - started
    status = Path("/proc/self/status").read_text()
    peak_kb = int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))
    return {"elapsed_s": elapsed, "peak_mb": peak_kb / 1024}


def judge_many(cells: Path, rows: int = 100_000) -> dict[str, Any]:
    """Seconds of the full suite on a large manifest, every reference there, after imports."""
    scanned = scan_folder(cells, listing_table(cells), ScanSettings())
    pictures = scanned.filter(pc.equal(scanned["status"], "ok"))
    many = pictures.take(pa.array([k % pictures.num_rows for k in range(rows)]))
    names = pa.array([f"{label}/{k:06}.png" for k, label in enumerate(many["label"].to_pylist())])
    digests = pa.array([hashlib.sha256(str(k).encode()).hexdigest() for k in range(rows)])
    replaced = {"path": names, "image_id": digests, "group_id": digests}
    manifest = pa.table([replaced.get(name, many[name]) for name in MANIFEST.names], schema=MANIFEST)
    reference = Reference(tuple(sorted(set(many["label"].to_pylist()))), profile_manifest(scanned), None)
    judge_manifest(manifest.slice(0, 1000), ValidationSettings(), reference)
    elapsed = []
    for _ in range(ROUNDS):
        started = time.monotonic()
        judgement = judge_manifest(manifest, ValidationSettings(), reference)
        elapsed.append(time.monotonic() - started)
    return {
        "rows": rows,
        "rules": len(judgement.verdict.findings),
        "offenders": judgement.offenders.num_rows,
        "elapsed_s": round(statistics.median(elapsed), 2),
        "best_s": round(min(elapsed), 2),
    }


def measure(files: int, parts: Sequence[str]) -> dict[str, Any]:
    """Figures of the named parts; those of the others stay what they were in the last result."""
    figures = read_figures("scan")
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        if "judge" in parts:
            figures["judge"] = judge_many(write_elpv_folders(root / "judge").labelled)
        if "plain" in parts:
            figures["plain"] = {name: compare_with_plain(folder) for name, folder in _plain_folders(root).items()}
        if "cleanvision" in parts:
            small = write_crops(root / "small", 2000, 256, "JPEG")
            figures["cleanvision"] = compare_with_cleanvision(small, write_ladder(root / "ladder", 1500))
        if "listing" in parts:
            figures["listing"] = list_many(root / "many", files)
    return figures


def _plain_folders(root: Path) -> dict[str, Path]:
    return {
        "elpv_png_300px_grey": write_cells(root / "elpv", times=4),
        "photo_jpeg_256px": write_crops(root / "jpeg256" / "a", 12_000, 256, "JPEG").parent,
        "photo_jpeg_512px": write_crops(root / "jpeg512" / "a", 4000, 512, "JPEG").parent,
        "photo_jpeg_1024px": write_crops(root / "jpeg1024" / "a", 1200, 1024, "JPEG").parent,
        "photo_png_256px": write_crops(root / "png256" / "a", 5000, 256, "PNG").parent,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=1_000_000)
    parser.add_argument("--list", type=Path)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    chosen = parser.parse_args()
    if chosen.list:
        sys.stdout.write(json.dumps(_list_here(chosen.list)))
    else:
        sys.stdout.write(f"{write_result('scan', ROUNDS, measure(chosen.files, chosen.parts))}\n")
