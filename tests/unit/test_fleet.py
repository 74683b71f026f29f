"""Several processes that score give what one gives, and survive each other's death."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from models.errors import MachineError
from models.serving import fleet
from models.serving.bundle import Bundle
from models.serving.commit import OutputStore
from models.serving.fleet import WorkerFailed, process_count
from models.serving.score import ScoreJob, ScoringSettings, score_folder
from tests.conftest import NOW
from tests.pictures import write_inbox

ANSWER = ["path", "sha256", "status", "reason", "label", "score", "top_labels", "top_scores", "brightness"]
TWO = ScoringSettings(shard_rows=4, processes=2)


def _answers(out: Path) -> list[dict[str, object]]:
    return sorted(OutputStore(out).read(columns=ANSWER).to_pylist(), key=lambda row: str(row["path"]))


def _score(inbox: Path, champion: Bundle, out: Path, settings: ScoringSettings = TWO) -> int:
    return score_folder(ScoreJob(inbox, champion, out, settings), "run", lambda: NOW).rows_scored


def test_two_processes_give_the_rows_of_one(champion: Bundle, tmp_path: Path) -> None:
    inbox = write_inbox(tmp_path / "inbox", 21, damaged=True)
    assert _score(inbox, champion, tmp_path / "two") == 27
    assert _score(inbox, champion, tmp_path / "one", ScoringSettings()) == 27
    assert _answers(tmp_path / "two") == _answers(tmp_path / "one")
    assert _score(inbox, champion, tmp_path / "two") == 0


def test_shards_of_a_process_that_dies_are_scored_by_its_successor(
    champion: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inbox = write_inbox(tmp_path / "inbox", 30, damaged=False)
    started: list[int] = []
    real = fleet._Worker._started

    def remembered(self: fleet._Worker) -> object:
        found = real(self)
        started.append(self._process.pid)
        if len(started) == 2:
            os.kill(started[0], signal.SIGKILL)
        return found

    monkeypatch.setattr(fleet._Worker, "_started", remembered)
    assert _score(inbox, champion, tmp_path / "out") == 30
    assert len(started) == 3
    assert len({row["path"] for row in _answers(tmp_path / "out")}) == 30


def test_processes_that_die_again_and_again_end_the_run(
    champion: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inbox = write_inbox(tmp_path / "inbox", 9, damaged=False)
    real = fleet._Worker.tell

    def killed(self: fleet._Worker, shard: object) -> None:
        os.kill(self._process.pid, signal.SIGKILL)
        real(self, shard)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(fleet._Worker, "tell", killed)
        with pytest.raises(MachineError, match=r"ended 3 times without finishing a shard, last with -9.*processes=1"):
            _score(inbox, champion, tmp_path / "out")
    assert _score(inbox, champion, tmp_path / "out") == 9


def test_refusal_of_a_process_is_the_refusal_of_the_run(champion: Bundle, tmp_path: Path) -> None:
    inbox = write_inbox(tmp_path / "inbox", 3, damaged=False)
    gone = champion._replace(sha256="0" * 64)
    with pytest.raises(WorkerFailed, match="was replaced") as error:
        _score(inbox, gone, tmp_path / "out")
    assert error.value.exit_code == 74


@pytest.mark.parametrize(("processes", "threads", "wanted"), [(0, 16, 1), (0, 17, 2), (0, 64, 4), (3, 1, 3)])
def test_number_of_processes(processes: int, threads: int, wanted: int) -> None:
    assert process_count(processes, threads) == wanted


def test_cores_are_shared_out_among_neighbours() -> None:
    assert fleet._shared_out(range(5), 2) == [[0, 1], [2, 3, 4]]
    assert fleet._shared_out([3, 7], 3) == [[3], [7], [3]]
