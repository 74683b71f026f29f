"""What one task of a Dask cluster costs beyond its files: Prefect's and Dask's part, and opening the bundle."""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.testing.utilities import prefect_test_harness

from benchmarks.result_file import write_result
from flows.task_runners import task_runner_of
from models.clock import utc_now
from models.serving.bundle import read_bundle
from models.serving.commit import OutputStore
from models.serving.score import ScoreJob, score_folder
from models.serving.scoring_settings import ScoringSettings
from models.serving.shard_job import ShardJob
from models.serving.shard_writer import ThreadWriter, Work
from tasks.score_shards import score_shards
from tasks.spread_settings import SpreadSettings

WORKERS, TASKS, OPENED, SHARD_S = 2, 40, 5, 60
_PICTURES = 16
_SETTINGS = ScoringSettings(settle_seconds=0, threads=1, shard_rows=1)


def measure(demo: Path, root: Path) -> dict[str, Any]:
    """Seconds of a task that finds its part there, seconds of opening, and both as a share of a task of 60 s."""
    (folder, *_) = sorted(demo.glob("models/*/bundles/*"))
    inbox = root / "inbox"
    inbox.mkdir()
    for path in sorted((demo / "demo" / "cells").rglob("*.png"))[:_PICTURES]:
        shutil.copy(path, inbox / path.name)
    score_folder(ScoreJob(inbox, read_bundle(folder), root / "out", _SETTINGS), "benchmark")
    work = Work(inbox, read_bundle(folder), root / "out", _SETTINGS, "benchmark", utc_now)
    opened = statistics.median(_open_s(work) for _ in range(OPENED))
    empty = _empty_task_s(ShardJob.of(work, 1, 0), OutputStore(root / "out").plans.all()[0].plan_id)
    return {
        "tasks": TASKS,
        "empty_task_s": round(empty, 3),
        "open_bundle_s": round(opened, 3),
        "share_of_60_s": round((empty + opened) / SHARD_S, 4),
    }


def _open_s(work: Work) -> float:
    started = time.perf_counter()
    with ExitStack() as until_end:
        ThreadWriter.open(work._replace(bundle=read_bundle(work.bundle.folder)), until_end)
        return time.perf_counter() - started


def _empty_task_s(job: ShardJob, plan_id: str) -> float:
    """Seconds of a worker for a task whose part is there already."""

    @flow(task_runner=task_runner_of(SpreadSettings(runner="dask", workers=WORKERS)))
    def many() -> float:
        for _ in range(WORKERS):
            score_shards.submit(job, [(plan_id, 0)]).result()
        started = time.perf_counter()
        futures = [score_shards.submit(job, [(plan_id, k % _PICTURES)]) for k in range(TASKS)]
        for future in futures:
            future.result()
        return (time.perf_counter() - started) / TASKS * WORKERS

    with prefect_test_harness(server_startup_timeout=180):
        return many()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("demo", type=Path, help="workspace of a demo that ran")
    with tempfile.TemporaryDirectory() as place:
        figures = measure(parser.parse_args().demo.absolute(), Path(place))
    sys.stdout.write(f"{write_result('task_overhead', TASKS, figures)}\n")
