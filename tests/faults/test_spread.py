"""A worker of a Dask cluster is killed: its own shards are scored again, and nothing else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.artifacts.workspace import Workspace
from models.serving.commit import OutputStore
from tests.conftest import MODEL

pytestmark = pytest.mark.faults
psutil = pytest.importorskip("psutil")
pytest.importorskip("prefect_dask")
FILES, SHARD_ROWS, SIDE_PX = 120, 4, 1600


def _write_large_pictures(folder: Path) -> Path:
    """Pictures that take long enough to decode for a kill to meet them."""
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (SIDE_PX, SIDE_PX, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "000.png", compress_level=1)
    for k in range(1, FILES):
        os.link(folder / "000.png", folder / f"{k:03}.png")
    return folder


def _dask_workers(pid: int) -> list[int]:
    children = psutil.Process(pid).children(recursive=True)
    return sorted(child.pid for child in children if "spawn_main" in " ".join(child.cmdline()))


def _parts(out: Path) -> dict[str, tuple[int, int]]:
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in out.rglob("part-*.parquet")}


def test_short_killed_worker_costs_its_own_shards_only(champion_workspace: Workspace, tmp_path: Path) -> None:
    inbox, out = _write_large_pictures(tmp_path / "inbox"), tmp_path / "out"
    command = [sys.executable, "-m", "flows.command_line", "score", str(inbox), "--name", MODEL, "--out", str(out)]
    command += ["--workspace", str(champion_workspace.root)]
    for setting in (
        "spread.runner=dask",
        "spread.workers=2",
        "spread.task_shards=3",
        f"scoring.shard_rows={SHARD_ROWS}",
    ):
        command += ["--set", setting]
    command += ["--set", "scoring.settle_seconds=0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 180
    while len(_parts(out)) < 4:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "no part was written"
        time.sleep(0.05)
    before, workers = _parts(out), _dask_workers(process.pid)
    assert len(workers) == 2
    os.kill(workers[0], signal.SIGKILL)
    said, errors = process.communicate(timeout=240)
    assert process.returncode == 0, said + errors
    after = _parts(out)
    assert {name: after[name] for name in before} == before, "what was finished is not scored again"
    rows = OutputStore(out).read(columns=["path", "status"]).to_pylist()
    assert Counter(row["path"] for row in rows) == {f"{k:03}.png": 1 for k in range(FILES)}
    assert {row["status"] for row in rows} == {"ok"}
