"""Whenever the power fails: no acknowledged row is lost, none is doubled or wrong, and the next run goes on.

Every fsync that is left out must be missed by these tests: each mutant has to be caught.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.artifacts import durable
from models.errors import SortlineError
from models.serving import commit, commit_log, plans, shard_writer
from models.serving.bundle import Bundle
from models.serving.commit import OutputStore
from models.serving.picture_scorer import Answers, PictureScorer
from models.serving.score import ScoreJob, ScoringSettings, score_folder
from tests.conftest import NOW
from tests.pictures import write_inbox
from tests.power_loss import Died, Recorder, build

FILES = 9
LATE = "late.png"
SETTINGS = ScoringSettings(shard_rows=2, threads=1)
Rows = dict[str, tuple[object, ...]]


@pytest.fixture(autouse=True)
def quick_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of runs: what is asked of the disk is real, what is asked of the model is a sum of pixels."""

    def answers(self: PictureScorer, pixels: np.ndarray[Any, Any]) -> Answers:
        score = np.float32(1 + int(pixels.sum()) % 997)
        return Answers(np.array([score, 1, 1], dtype=np.float32) / (score + 2))

    monkeypatch.setattr(PictureScorer, "answers", answers)
    monkeypatch.setattr(shard_writer, "check_golden", lambda golden, scorer: 0.0)


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    folder = write_inbox(tmp_path / "inbox", FILES, damaged=False)
    shutil.copy(folder / "picture-0000.png", folder / LATE)
    return folder


def _run(inbox: Path, champion: Bundle, out: Path) -> None:
    score_folder(ScoreJob(inbox, champion, out, SETTINGS), "run", lambda: NOW)


def _rows(out: Path) -> Rows:
    """Rows that count by path; refuses a path with two."""
    found: Rows = {}
    for row in OutputStore(out).read().to_pylist():
        if row["path"] in found:
            raise AssertionError(f"{row['path']} has two rows")
        found[row["path"]] = (row["sha256"], row["status"], row["label"], row["score"])
    return found


def _violation(out: Path, owed: int, reference: Rows, resume: Callable[[], None]) -> str | None:
    """What is wrong with a state; None where nothing is."""
    try:
        before = _rows(out)
        if len(before) < owed:
            return f"{owed} rows were acknowledged, {len(before)} are left"
        resume()
        return None if _rows(out) == reference else "the next run does not end with the rows of an undisturbed one"
    except (SortlineError, AssertionError, OSError, ValueError) as error:
        return f"{type(error).__name__}: {error}"


class _Explorer:
    """One folder of pictures, its undisturbed rows, and what the power may leave of runs over it."""

    def __init__(self, champion: Bundle, inbox: Path, root: Path) -> None:
        self._champion, self._inbox, self._root = champion, inbox, root
        _run(inbox, champion, root / "reference")
        self.reference = _rows(root / "reference")
        self.count = 0

    def clean_runs(self) -> Recorder:
        """Two runs that nothing disturbs, with a late file for the second; every moment of them is looked at."""
        recorder, late = self._recorder(), self._root / LATE
        (self._inbox / LATE).rename(late)
        with recorder.watching():
            _run(self._inbox, self._champion, recorder.root)
            recorder.acknowledged = FILES
            late.rename(self._inbox / LATE)
            _run(self._inbox, self._champion, recorder.root)
            recorder.acknowledged = FILES + 1
            recorder.look()
        return recorder

    def resumed_run(self, dies_at: int) -> Recorder:
        """A run that dies at a sync of a folder, and one that goes on; what is left after that one is looked at."""
        recorder = self._recorder()
        recorder.is_looking, recorder.dies_at = False, dies_at
        with recorder.watching():
            try:
                _run(self._inbox, self._champion, recorder.root)
            except Died:
                recorder.dies_at = 0
                _run(self._inbox, self._champion, recorder.root)
            recorder.is_looking, recorder.acknowledged = True, len(self.reference)
            recorder.look()
        return recorder

    def violations(self, recorder: Recorder) -> Iterator[str]:
        """What is wrong with the states that were found."""
        for state, owed in recorder.states.items():
            self.count += 1
            place = self._root / f"state-{self.count}"
            build(state, place)
            wrong = _violation(place, owed, self.reference, lambda: _run(self._inbox, self._champion, place))  # noqa: B023
            shutil.rmtree(place)
            if wrong is not None:
                yield wrong

    def _recorder(self) -> Recorder:
        self.count += 1
        place = self._root / f"run-{self.count}"
        place.mkdir()
        return Recorder(place)


@pytest.fixture
def explorer(champion: Bundle, inbox: Path, tmp_path: Path) -> _Explorer:
    return _Explorer(champion, inbox, tmp_path)


def test_power_may_fail_at_any_moment_of_two_runs(explorer: _Explorer) -> None:
    recorder = explorer.clean_runs()
    assert len(recorder.states) >= 60, "few states were reached"
    assert list(explorer.violations(recorder)) == []


def test_power_may_fail_after_a_run_that_went_on_from_a_dead_one(explorer: _Explorer) -> None:
    """A name that is visible but not durable must not be trusted, whichever sync the first run died at."""
    syncs = explorer.clean_runs().folder_syncs
    assert syncs >= 9
    for dies_at in range(1, syncs + 1):
        assert list(explorer.violations(explorer.resumed_run(dies_at))) == [], f"died at sync {dies_at}"


@contextmanager
def _without_folder_syncs() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for module in (durable, commit, plans):
            patch.setattr(module, "sync_folder", lambda path: None)
        yield


@contextmanager
def _without_syncs() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Recorder, "_fsync", lambda self, real: lambda descriptor: None)
        yield


@contextmanager
def _without_file_syncs() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        from tests.power_loss import Disk

        patch.setattr(Disk, "sync_file", lambda self, path: None)
        yield


@pytest.mark.parametrize("mutant", [_without_folder_syncs, _without_syncs, _without_file_syncs])
def test_run_without_a_sync_is_caught(explorer: _Explorer, mutant: Callable[[], Any]) -> None:
    with mutant():
        recorder = explorer.clean_runs()
    assert next(explorer.violations(recorder), None) is not None


def test_run_that_trusts_what_a_dead_one_left_is_caught(explorer: _Explorer) -> None:
    syncs = explorer.clean_runs().folder_syncs
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(commit, "sync_folder", lambda path: None)  # at the start of a run, that is
        recorders = [explorer.resumed_run(dies_at) for dies_at in range(1, syncs + 1)]
    wrong = [violation for recorder in recorders for violation in explorer.violations(recorder)]
    assert any("were acknowledged" in violation for violation in wrong), wrong


def test_log_without_its_fence_is_caught(explorer: _Explorer, champion: Bundle, inbox: Path, tmp_path: Path) -> None:
    """Two runs at once, as where a file system has no locks: only the log keeps them apart.

    The second one begins as the first is about to commit, knows of a file more, and ends first.
    """

    def two_runs(out: Path) -> str | None:
        other: list[str] = []
        (inbox / LATE).rename(tmp_path / LATE)
        real = commit_log.CommitLog.append

        def append_late(log: commit_log.CommitLog, entry: commit_log.Commit, head: commit_log.Head) -> commit_log.Head:
            if not other:
                other.append("runs")
                (tmp_path / LATE).rename(inbox / LATE)
                with pytest.MonkeyPatch.context() as patch:
                    patch.setattr(commit, "exclusive_lock", _no_lock)
                    _run(inbox, champion, out)
            return real(log, entry, head)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(commit_log.CommitLog, "append", append_late)
            try:
                _run(inbox, champion, out)
            except SortlineError as error:
                if error.exit_code != 75:
                    return str(error)
        return _violation(out, FILES + 1, explorer.reference, lambda: _run(inbox, champion, out))

    assert two_runs(tmp_path / "fenced") is None
    with pytest.MonkeyPatch.context() as patch:
        real = durable.write_durably
        patch.setattr(commit_log, "write_durably", lambda path, data, exclusive=False: real(path, data))
        assert two_runs(tmp_path / "open") is not None


@contextmanager
def _no_lock(path: Path) -> Iterator[int]:
    yield -1
