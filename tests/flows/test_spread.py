"""Scoring spread over task runners gives the rows of one process, and what is lost is left for the next run."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from flows.score_folder import score_folder
from models.artifacts.records import ScoreSummary
from models.artifacts.ref import read_record
from models.artifacts.workspace import Workspace
from models.errors import MachineError
from models.serving import shard_job
from models.serving.commit import OutputStore
from models.serving.registry import Registry
from models.serving.score import ScoreJob, ScoringSettings
from models.serving.score import score_folder as score_here
from tasks.spread_settings import SpreadSettings
from tests.conftest import MODEL, NOW
from tests.pictures import write_inbox

pytestmark = pytest.mark.usefixtures("prefect_backend")
SCORING = ScoringSettings(shard_rows=3, settle_seconds=0, max_bad_share=1)
SAID_OF_THE_RUN = {"plan_id", "run_id", "scored_at"}
THREADS = SpreadSettings(runner="threads", workers=2, task_shards=2)


def _rows(out: Path) -> list[dict[str, object]]:
    rows = OutputStore(out).read().to_pylist()
    return [{key: value for key, value in row.items() if key not in SAID_OF_THE_RUN} for row in rows]


def _spread(workspace: Workspace, inbox: Path, out: Path, spread: SpreadSettings) -> ScoreSummary:
    summary, _, _ = score_folder(str(inbox), MODEL, str(out), workspace.root, SCORING, spread=spread)
    return read_record(summary, ScoreSummary)


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    return write_inbox(tmp_path / "inbox", 20, damaged=True)


@pytest.mark.parametrize("runner", ["threads", "dask", "ray"])
def test_rows_are_those_of_one_process(champion_workspace: Workspace, inbox: Path, tmp_path: Path, runner: str) -> None:
    if runner != "threads":
        pytest.importorskip(f"prefect_{runner}")
    here = ScoreJob(inbox, Registry(champion_workspace).open_champion(MODEL), tmp_path / "here", SCORING)
    score_here(here, "run", lambda: NOW)
    spread = THREADS.model_copy(update={"runner": runner})
    summary = _spread(champion_workspace, inbox, tmp_path / "spread", spread)
    assert (summary.rows_scored, summary.deferred) == (26, 0)
    assert _rows(tmp_path / "spread") == _rows(tmp_path / "here")
    assert _spread(champion_workspace, inbox, tmp_path / "spread", spread).rows_scored == 0


def test_tasks_that_fail_fail_the_run_or_are_left_for_the_next(
    champion_workspace: Workspace, inbox: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = shard_job.write_shards

    def broken(job: shard_job.ShardJob, names: list[shard_job.ShardName]) -> int:
        if any(number == 0 for _, number in names):
            raise RuntimeError("this machine is out of order")
        return real(job, names)

    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr("tasks.score_shards.write_shards", broken)
        patch.setattr("tasks.score_shards.score_shards.retry_delay_seconds", [0, 0])
        with pytest.raises(MachineError, match="1 of 5 tasks failed"):
            _spread(champion_workspace, inbox, out, THREADS)
        lenient = THREADS.model_copy(update={"min_success_ratio": 0.0})
        left = _spread(champion_workspace, inbox, out, lenient)
        assert left.deferred == 6, "those of the two shards of the task that failed"
    assert _spread(champion_workspace, inbox, out, THREADS).deferred == 0
    counts = Counter(row["path"] for row in _rows(out))
    assert len(counts) == 26
    assert set(counts.values()) == {1}
