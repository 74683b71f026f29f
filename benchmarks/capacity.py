"""How long 1 to 100 million pictures take on 1 to 100 workers: a cost model fitted to measured runs, and simulated.

What one process does alone is measured here, on listed files: listing and freezing plans, and taking finished parts
into commits. What workers do side by side comes from `benchmarks/scoring.py` and `benchmarks/spread.py`.
"""

from __future__ import annotations

import heapq
import os
import shutil
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from benchmarks.result_file import read_figures, write_result
from models.artifacts.tables import PREDICTIONS, table_of
from models.serving.commit import OutputStore
from models.serving.commit_log import Head
from models.serving.committer import Committer, Committing
from models.serving.engine import Shard
from models.serving.folder_files import FolderFiles
from models.serving.plan_desk import PlanDesk

FILES, SHARD_ROWS = 200_000, 2000
SIZES, WORKERS = (1_000_000, 10_000_000, 100_000_000), (1, 2, 5, 10, 20, 50, 100)
TASK_S = 120.0
# Tasks differ by so much, one of a thousand dies and is done again: assumed, not measured.
SPREAD_OF_TASKS, DEATHS = 0.1, 0.001


class Costs(NamedTuple):
    """What a run pays for.

    Attributes:
        start_s: once.
        alone_s: of the one process that plans and commits, a file.
        worker_s: of a worker with all its cores, a file.
        task_s: of a task, beyond its files.
    """

    start_s: float
    alone_s: float
    worker_s: float
    task_s: float


def measure(root: Path) -> dict[str, Any]:
    """All figures."""
    alone = _alone_s(root)
    scoring, spread = read_figures("scoring"), read_figures("spread")
    per_s = {name: row["per_s"]["ours"] for name, row in scoring.items()}
    per_s["lite0 in integers, png"] = scoring["lite0, png"]["per_s"]["ours_in_integers"]
    found: dict[str, Any] = {"alone_us_a_file": round(1e6 * alone, 1), "worker_per_s": per_s}
    if spread:
        found["fitted_to"] = _fitted(spread, alone)
    costs = Costs(spread.get("start_s", 10.0), alone, 1 / per_s["lite0 in integers, png"], 1.0)
    found["hours"] = {
        f"{files:,}": {str(workers): round(_simulated_s(costs, files, workers) / 3600, 2) for workers in WORKERS}
        for files in SIZES
    }
    found["formula_hours"] = {
        f"{files:,}": {str(workers): round(formula_s(costs, files, workers) / 3600, 2) for workers in WORKERS}
        for files in SIZES
    }
    found["workers_kept_busy"] = round(costs.worker_s / costs.alone_s)
    return found


def formula_s(costs: Costs, files: int, workers: int) -> float:
    """Seconds of a run: workers side by side, or the one process that feeds them, whichever is slower."""
    task_files = max(1, round(TASK_S / costs.worker_s))
    tasks = -(-files // task_files)
    side_by_side = (files * costs.worker_s + tasks * costs.task_s) * (1 + DEATHS) / workers
    return costs.start_s + max(side_by_side, files * costs.alone_s) + TASK_S / 2


def _simulated_s(costs: Costs, files: int, workers: int, seed: int = 0) -> float:
    """The same, task after task: planned by one process, done by whichever worker is free, some of them twice."""
    rng = np.random.default_rng(seed)
    task_files = max(1, round(TASK_S / costs.worker_s))
    tasks = -(-files // task_files)
    free = [costs.start_s] * workers
    planned = costs.start_s
    for k in range(tasks):
        size = min(task_files, files - k * task_files)
        planned += size * costs.alone_s
        begin = max(heapq.heappop(free), planned)
        lasts = size * costs.worker_s * rng.lognormal(-(SPREAD_OF_TASKS**2) / 2, SPREAD_OF_TASKS) + costs.task_s
        lasts += rng.random() * lasts if rng.random() < DEATHS else 0.0
        heapq.heappush(free, begin + lasts)
    return max(free)


def _fitted(spread: dict[str, Any], alone_s: float) -> dict[str, Any]:
    """The measured run of two workers beside what the formula says of it."""
    threads_s, dask_s = (float(np.median(spread["scoring_s"][kind])) for kind in ("threads", "dask"))
    worker_s = 2 * threads_s / spread["files"]
    said = max(spread["files"] * worker_s / 2, spread["files"] * alone_s)
    return {"files": spread["files"], "measured_s": dask_s, "formula_s": round(said, 1)}


def _alone_s(root: Path) -> float:
    """Seconds a file of listing, planning, reading parts back and committing."""
    inbox, store = _write_links(root / "inbox"), OutputStore(root / "out")
    files = FolderFiles(inbox, (store, "0" * 64), SHARD_ROWS)
    desk = PlanDesk(store, str(inbox), "0" * 64, "", SHARD_ROWS)
    started, apart_s = time.perf_counter(), 0.0
    with store.hold():
        committing = Committing(Head(0, ""), "model", "run", "cpu", lambda: datetime.now(UTC))
        committer = Committer(store, committing, 300)
        for listed, known in files.new_files(lambda: datetime.now(UTC), 0):
            plan = desk.freeze(listed, known.known_digests(listed))
            for shard in committer.shards(plan, committer.missing(plan)):
                began = time.perf_counter()
                _write_part(store, shard)  # a worker does this
                apart_s += time.perf_counter() - began
                committer.add(shard, store.part(store.part_path(plan, shard.number), shard.number))
    return (time.perf_counter() - started - apart_s) / FILES


def _write_part(store: OutputStore, shard: Shard) -> None:
    digest = "0" * 64
    rows = [
        {"path": row["path"], "sha256": digest, "status": "ok", "label": "good", "score": 0.5, "bundle_sha256": digest}
        for row in shard.rows
    ]
    table: pa.Table = table_of(rows, PREDICTIONS)
    store.write_part(store.part_path(shard.plan, shard.number), table)


def _write_links(inbox: Path) -> Path:
    inbox.mkdir(parents=True)
    for k in range(FILES):
        if k % 50_000 == 0:
            base = inbox / f"{k:07}.png"
            base.write_bytes(b"x")
        else:
            os.link(base, inbox / f"{k:07}.png")
    return inbox


if __name__ == "__main__":
    place = Path(tempfile.mkdtemp())
    try:
        figures = measure(place)
    finally:
        shutil.rmtree(place)
    sys.stdout.write(f"{write_result('capacity', 1, figures)}\n")
