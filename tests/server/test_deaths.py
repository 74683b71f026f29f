"""Server, worker and database go while a folder is scored: in the end every file has one row."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.artifacts.workspace import Workspace
from models.serving.commit import OutputStore
from tests.server.site import Site

pytestmark = pytest.mark.server
FILES, SIDE_PX, LOCKED_S = 500, 1200, 30
SLOW = {"scoring": {"settle_seconds": 0, "shard_rows": 10, "commit_seconds": 2, "threads": 1}}


@pytest.fixture(scope="module")
def site(champion_workspace: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    home = tmp_path_factory.mktemp("site")
    shutil.copytree(champion_workspace.root, home / "workspace")
    (home / "inbox").mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (SIDE_PX, SIDE_PX, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(home / "inbox" / "000.png", compress_level=1)
    for k in range(1, FILES):
        os.link(home / "inbox" / "000.png", home / "inbox" / f"{k:03}.png")
    running = Site(home)
    running.start()
    running.set_parameters("score", {**SLOW, "name": "shapes"})
    yield running
    running.stop()


def _out(site: Site, name: str) -> dict[str, object]:
    return {"out": f"out-{name}"}


def _wait_for_parts(site: Site, name: str, run_id: str) -> Path:
    """The output once the run has written something."""
    out, deadline = site.home / f"out-{name}", time.monotonic() + 120
    while len(list(out.rglob("part-*.parquet"))) < 2:
        assert time.monotonic() < deadline, site.log(run_id)
        time.sleep(0.1)
    return out


def _require_whole(out: Path) -> None:
    rows = OutputStore(out).read(columns=["path", "status"]).to_pylist()
    assert Counter(row["path"] for row in rows) == {f"{k:03}.png": 1 for k in range(FILES)}
    assert {row["status"] for row in rows} == {"ok"}


def test_killed_server_comes_back_and_the_run_completes(site: Site) -> None:
    run = site.run("score", _out(site, "server"))
    out = _wait_for_parts(site, "server", run)
    for pid in site.pids("prefect server start") + site.pids("uvicorn"):
        os.kill(pid, signal.SIGKILL)
    _wait_until_answered(site)
    site.wait(run, "COMPLETED", "FAILED", "CRASHED")
    site.wait(site.run("score", _out(site, "server")))
    _require_whole(out)


def test_killed_run_is_said_to_have_crashed_and_its_retry_goes_on(site: Site) -> None:
    run = site.run("score", _out(site, "run"))
    out = _wait_for_parts(site, "run", run)
    for pid in site.pids("prefect.engine") + site.pids("prefect flow-run execute"):
        os.kill(pid, signal.SIGKILL)
    assert site.wait(run, "CRASHED")["state_type"] == "CRASHED"
    kept = {path.name: path.stat().st_mtime_ns for path in out.rglob("part-*.parquet")}
    # The worker reports a death a moment after the state says so; a person is slower than that.
    time.sleep(10)
    site.retry(run)
    site.wait(run)
    _require_whole(out)
    after = {path.name: path.stat().st_mtime_ns for path in out.rglob("part-*.parquet")}
    assert kept.items() < after.items(), "what was finished is not done again"


def test_killed_worker_comes_back_and_files_keep_one_row(site: Site) -> None:
    run = site.run("score", _out(site, "worker"))
    out = _wait_for_parts(site, "worker", run)
    for pid in site.pids("prefect worker start"):
        os.kill(pid, signal.SIGKILL)
    # Its run goes on without it, or died with it: the next one waits for the first, or goes on behind it.
    deadline = time.monotonic() + 240
    while len(OutputStore(out).read(columns=["path"])) < FILES and time.monotonic() < deadline:
        status, _ = site.start_run("score", _out(site, "worker"))
        assert status == 201
        time.sleep(10)
    _require_whole(out)


def test_locked_database_costs_no_row(site: Site) -> None:
    run = site.run("score", _out(site, "database"))
    out = _wait_for_parts(site, "database", run)
    database = sqlite3.connect(site.workspace / "server" / "prefect.db", timeout=60)
    database.execute("BEGIN EXCLUSIVE")
    time.sleep(LOCKED_S)
    database.rollback()
    database.close()
    site.wait(run, "COMPLETED", "FAILED", "CRASHED")
    site.wait(site.run("score", _out(site, "database")))
    _require_whole(out)


def _wait_until_answered(site: Site) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            if site.ask("GET", "/health")[0] == 200:
                return
        except OSError:
            time.sleep(1)
    raise AssertionError("the server did not come back")
