"""Scan and scoring over a folder of hostile files: every file has one row, and nothing breaks, hangs or swells.

`make corpus DIR=...` ends with exit code 1 and a list of what was broken, if anything was. With --record the figures
go to benchmarks/results/corpus.json.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from benchmarks.result_file import write_result
from models.artifacts.workspace import Workspace
from models.data.listing import file_name, listing_table
from models.data.scan import ScanSettings, scan_folder
from models.serving.bundle import read_bundle
from models.serving.commit import OutputStore
from models.serving.registry import Registry
from tests.chain import train_bundle
from tests.pictures import write_labelled

MODEL = "corpus"
MOST_MEMORY_MB = 1000
Verdicts = dict[str, tuple[str, str | None, str | None]]


def examine(folder: Path) -> tuple[dict[str, Any], list[str]]:
    """Figures of a corpus, and every promise that was broken over it."""
    broken: list[str] = []
    files = sum(len(names) for _, _, names in os.walk(folder, followlinks=False))
    started = time.monotonic()
    first = _verdicts(_scan(folder), "image_id")
    scan_s = time.monotonic() - started
    worker_mb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    if len(first) != files:
        broken.append(f"{files} files, {len(first)} rows of the scan")
    if (again := _verdicts(_scan(folder), "image_id")) != first:
        broken.append(f"a second scan has other verdicts: {_some(first, again)}")
    if worker_mb > MOST_MEMORY_MB:
        broken.append(f"a worker took {worker_mb:.0f} MB")
    for status in ("crashed", "timeout"):
        broken += [f"{name} is {status}" for name, verdict in first.items() if verdict[0] == status]
    with tempfile.TemporaryDirectory() as place:
        scored, score_mb, score_s = _score(folder, Path(place), broken)
    if scored != first:
        broken.append(f"scoring has other verdicts than the scan: {_some(first, scored)}")
    if score_mb > MOST_MEMORY_MB:
        broken.append(f"scoring took {score_mb:.0f} MB")
    figures = {
        "files": files,
        "statuses": dict(sorted(Counter(f"{s} {r}" if r else s for s, r, _ in first.values()).items())),
        "scan_s": round(scan_s, 1),
        "score_s": round(score_s, 1),
        "worker_peak_mb": round(worker_mb),
        "score_peak_mb": round(score_mb),
        "broken_promises": len(broken),
    }
    return figures, broken


def _scan(folder: Path) -> pa.Table:
    return scan_folder(folder, listing_table(folder), ScanSettings(layout="flat"))


def _score(folder: Path, place: Path, broken: list[str]) -> tuple[Verdicts, float, float]:
    """Verdicts of scoring in processes of its own, with a small model that is trained for it, twice."""
    workspace = Workspace.open(place / "workspace")
    pictures = write_labelled(place / "pictures", {"down": 40, "round": 40, "side": 40})
    bundle = read_bundle(train_bundle(pictures, workspace, MODEL))
    Registry(workspace).promote(MODEL, bundle, datetime.now(UTC), "made to score a corpus")
    more = ["--out", str(place / "out"), "--workspace", str(workspace.root), "--json"]
    command = [sys.executable, "-m", "flows.command_line", "score", str(folder), "--name", MODEL, *more]
    started = time.monotonic()
    # /usr/bin/time is not everywhere; a small process measures its own child.
    measuring = (
        "import json, resource, subprocess, sys; done = subprocess.run(sys.argv[1:], capture_output=True, text=True);"
        "print(json.dumps([done.returncode, done.stdout, done.stderr,"
        " resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss]))"
    )
    done = subprocess.run([sys.executable, "-c", measuring, *command], capture_output=True, text=True, check=True)
    elapsed = time.monotonic() - started
    code, _, said, peak_kb = json.loads(done.stdout)
    if code:
        broken.append(f"scoring ended with {code}: {said}")
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    answer = json.loads(again.stdout.splitlines()[-1]) if again.returncode == 0 else {"rows_scored": again.stderr}
    if answer["rows_scored"] != 0:
        broken.append(f"a second scoring run scored {answer['rows_scored']} files again")
    return _verdicts(OutputStore(place / "out").read(), "sha256"), peak_kb / 1024, elapsed


def _verdicts(table: pa.Table, digest: str) -> Verdicts:
    """Status, reason and, of pictures, digest by name; a name that is there twice refuses."""
    rows = table.select(["path", "path_bytes", "status", "reason", digest]).to_pylist()
    found = {
        file_name(row): (row["status"], row["reason"], row[digest] if row["status"] == "ok" else None) for row in rows
    }
    if len(found) != len(rows):
        raise ValueError(f"{len(rows)} rows for {len(found)} files")
    return found


def _some(left: Verdicts, right: Verdicts) -> str:
    names = sorted(name for name in left.keys() | right.keys() if left.get(name) != right.get(name))
    return ", ".join(f"{n!r}: {left.get(n)} and {right.get(n)}" for n in names[:5]) + f" ({len(names)} files)"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--record", action="store_true")
    chosen = parser.parse_args()
    figures, broken = examine(chosen.folder.absolute())
    sys.stdout.write(json.dumps(figures, indent=1) + "\n" + "".join(f"BROKEN: {line}\n" for line in broken))
    if chosen.record:
        write_result("corpus", 1, figures)
    sys.exit(1 if broken else 0)
