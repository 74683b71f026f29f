"""Scoring at its ends: a hundred pictures from a cold start, the first row of a million files, memory at many files."""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.result_file import write_result
from models.artifacts.workspace import Workspace
from tests.chain import train_bundle
from tests.faults.scoring_cases import Case
from tests.pictures import write_inbox, write_labelled

COLD_PICTURES, COLD_RUNS = 100, 7
FILES, RUNS = 1_000_000, 3
# A file may have so many names on ext4, and some fewer to be safe.
NAMES_A_FILE = 50_000
SMALL, LARGE = 20_000, 200_000


def measure(demo: Path, root: Path) -> dict[str, Any]:
    """All figures; `demo` is the workspace of a demo that ran."""
    (model,) = [path.name for path in (demo / "models").iterdir()]
    (bundle, *_) = sorted((demo / "models" / model / "bundles").iterdir())
    pictures = sorted((demo / "demo").rglob("*.png"))
    cold = [_cold_s(demo, model, pictures, root / f"cold-{k}") for k in range(COLD_RUNS)]
    first = _first_rows(pictures, bundle, root / "million")
    labelled = write_labelled(root / "labelled", {"down": 80, "round": 40, "side": 30})
    tiny = train_bundle(labelled, Workspace.open(root / "workspace"), "shapes")
    peaks = {files: _peak_mb(tiny, root / f"files-{files}", files) for files in (SMALL, LARGE)}
    return {
        "cold_pictures": COLD_PICTURES,
        "cold_s": round(statistics.median(cold), 2),
        "cold_slowest_s": round(max(cold), 2),
        "files": FILES,
        "first_rows_s": round(statistics.median(first), 2),
        "first_rows_slowest_s": round(max(first), 2),
        "peak_mb": {str(files): round(peak, 1) for files, peak in peaks.items()},
        "peak_ratio": round(peaks[LARGE] / peaks[SMALL], 3),
    }


def _cold_s(demo: Path, model: str, pictures: list[Path], place: Path) -> float:
    """Seconds of the whole command on a folder that it has never seen, Python's own start included."""
    inbox = place / "inbox"
    inbox.mkdir(parents=True)
    for k, path in enumerate(pictures[:COLD_PICTURES]):
        shutil.copy(path, inbox / f"{k:04}.png")
    command = [sys.executable, "-m", "flows.command_line", "score", str(inbox), "--name", model]
    command += ["--out", str(place / "out"), "--workspace", str(demo), "--set", "scoring.settle_seconds=0"]
    started = time.perf_counter()
    subprocess.run(command, capture_output=True, check=True)
    return time.perf_counter() - started


def _first_rows(pictures: list[Path], bundle: Path, root: Path) -> list[float]:
    """Seconds from the start of scoring to the first committed rows of a flat folder of a million files."""
    inbox = root / "inbox"
    inbox.mkdir(parents=True)
    for k in range(FILES):
        if k % NAMES_A_FILE == 0:
            base = inbox / f"{k:07}.png"
            shutil.copy(pictures[k // NAMES_A_FILE], base)
        else:
            os.link(base, inbox / f"{k:07}.png")
    found = []
    for run in range(RUNS):
        case = Case(inbox, bundle, root / f"out-{run}")
        process = case.start("--shard-rows", 2000)
        started = time.perf_counter()
        while not list((case.out / "_commits").glob("*.json")):
            time.sleep(0.005)
        found.append(time.perf_counter() - started)
        process.kill()
        process.communicate()
    return found


def _peak_mb(bundle: Path, root: Path, files: int) -> float:
    """Peak memory of a run over so many files."""
    inbox = write_inbox(root / "inbox", 8, damaged=False)
    bases = sorted(inbox.iterdir())
    for k in range(files - len(bases)):
        os.link(bases[k % len(bases)], inbox / f"{k:07}.png")
    case = Case(inbox, bundle, root / "out")
    process = case.start("--shard-rows", 2000)
    assert process.stdout is not None
    peaks = [int(line.split()[1]) for line in process.stdout if line.startswith("peak ")]
    if process.wait() or not peaks:
        raise RuntimeError(f"the run over {files} files ended with {process.returncode}")
    return peaks[0] / 1024


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workspace", type=Path, help="of a demo that ran")
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(parser.parse_args().workspace.absolute(), Path(folder))
    sys.stdout.write(f"{write_result('scoring_scale', RUNS, figures)}\n")
