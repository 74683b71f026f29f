"""Scoring by tasks on a local Dask cluster against threads of one process, on the same cores and files, by turns."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from benchmarks.result_file import write_result
from models.serving.commit import OutputStore

WORKERS, ROUNDS = 2, 2
SHARD_ROWS, TASK_SHARDS, TASKS = 2000, 6, 4
_SAID_OF_THE_RUN = ["plan_id", "run_id", "scored_at"]


def measure(demo: Path, root: Path) -> dict[str, Any]:
    """Ratio of wall times, seconds a task, and whether the tables are the same."""
    (model,) = [path.name for path in (demo / "models").iterdir()]
    files = SHARD_ROWS * TASK_SHARDS * TASKS
    inbox = _write_links(sorted((demo / "demo" / "cells").rglob("*.png")), root / "inbox", files)
    times: dict[str, list[float]] = {"threads": [], "dask": []}
    whole: dict[str, list[float]] = {"threads": [], "dask": []}
    tables = {}
    for number in range(ROUNDS):
        for kind, found in times.items():
            out = root / f"{kind}-{number}"
            started = time.perf_counter()
            found.append(_run(demo, model, inbox, out, kind))
            whole[kind].append(time.perf_counter() - started)
            tables[kind] = OutputStore(out).read().drop_columns(_SAID_OF_THE_RUN).sort_by("path")
    ratios = [dask / threads for dask, threads in zip(times["dask"], times["threads"], strict=True)]
    return {
        "files": files,
        "tasks": TASKS,
        "seconds_a_task": round(statistics.median(times["dask"]) * WORKERS / TASKS, 1),
        "scoring_s": {kind: [round(s, 1) for s in values] for kind, values in times.items()},
        "whole_command_s": {kind: [round(s, 1) for s in values] for kind, values in whole.items()},
        "dask_over_threads": round(statistics.median(ratios), 3),
        "same_table": tables["dask"].equals(tables["threads"]),
        "all_scored": bool(pc.all(pc.equal(tables["dask"]["status"], "ok")).as_py()),
    }


def _write_links(pictures: list[Path], inbox: Path, files: int) -> Path:
    inbox.mkdir()
    for k in range(files):
        os.link(pictures[k % len(pictures)], inbox / f"{k:06}.png")
    return inbox


def _run(demo: Path, model: str, inbox: Path, out: Path, kind: str) -> float:
    """Seconds from the first listing to the last commit."""
    command = [sys.executable, "-m", "flows.command_line", "score", str(inbox), "--name", model, "--out", str(out)]
    command += ["--workspace", str(demo), "--json", "--flow", "--set", f"scoring.shard_rows={SHARD_ROWS}"]
    command += ["--set", "scoring.settle_seconds=0", "--set", "scoring.autotune=false"]
    if kind == "dask":
        command += ["--set", "spread.runner=dask", "--set", f"spread.workers={WORKERS}"]
        command += ["--set", f"spread.task_shards={TASK_SHARDS}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return float(json.loads(done.stdout.splitlines()[-1])["elapsed_s"])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("demo", type=Path, help="workspace of a demo that ran")
    demo_workspace = parser.parse_args().demo.absolute()
    # Links do not leave their file system.
    with tempfile.TemporaryDirectory(dir=demo_workspace) as folder:
        figures = measure(demo_workspace, Path(folder))
    sys.stdout.write(f"{write_result('spread', ROUNDS, figures)}\n")
