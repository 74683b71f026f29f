"""Runs that follow one another: what is scored again, what is waited for, what is given up, and when a run fails."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from models.clock import utc_now
from models.errors import ScoringStopped, TooManyBadFiles
from models.serving import score
from models.serving.bundle import Bundle
from models.serving.commit import OutputStore
from models.serving.known_files import ATTEMPTS
from models.serving.picture_scorer import PictureScorer, Scored
from models.serving.score import ScoreJob, ScoringSettings, score_folder
from models.serving.verify_output import verify_output
from tests.conftest import NOW
from tests.pictures import write_inbox

SMALL = ScoringSettings(shard_rows=3)


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    return write_inbox(tmp_path / "inbox", 8, damaged=False)


def _score(inbox: Path, bundle: Bundle, out: Path, settings: ScoringSettings = SMALL) -> int:
    return score_folder(ScoreJob(inbox, bundle, out, settings), "run", lambda: NOW).rows_scored


def _is_good(store: OutputStore) -> bool:
    return all(check.is_good for check in verify_output(store))


def test_file_whose_time_alone_changed_gets_no_second_row(champion: Bundle, inbox: Path, tmp_path: Path) -> None:
    store = OutputStore(tmp_path / "out")
    assert _score(inbox, champion, store.out) == 8
    os.utime(inbox / "picture-0002.png", (5, 5))
    shutil.copy(inbox / "picture-0002.png", inbox / "copy.png")
    assert _score(inbox, champion, store.out) == 1, "the copy is a file of its own"
    (part,) = store.commits()[-1].parts
    assert (part.rows, part.unchanged) == (1, 1)
    assert _score(inbox, champion, store.out) == 0
    assert len(store.commits()) == 2, "what was found to be unchanged is known from then on"
    assert _is_good(store)


def test_file_that_fails_for_the_machines_reasons_is_tried_a_few_times(
    champion: Bundle, inbox: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = PictureScorer.score_read

    def failing(self: PictureScorer, read: Callable[[int], bytes], name: str) -> Scored:
        if name.endswith("0004.png"):
            return Scored.failed("unreadable", "io_error")
        return real(self, read, name)

    with monkeypatch.context() as patch:
        patch.setattr(PictureScorer, "score_read", failing)
        scored = [_score(inbox, champion, tmp_path / "out") for _ in range(ATTEMPTS + 2)]
    assert scored == [8, *[1] * (ATTEMPTS - 1), 0, 0]
    os.utime(inbox / "picture-0004.png", (5, 5))
    assert _score(inbox, champion, tmp_path / "out") == 1, "another file, another chance"


def _young(path: Path, now: datetime) -> None:
    os.utime(path, (now.timestamp(), now.timestamp()))


def test_young_files_are_waited_for_once(champion: Bundle, inbox: Path, tmp_path: Path) -> None:
    for path in inbox.iterdir():
        os.utime(path, (1, 1))
    _young(inbox / "picture-0001.png", utc_now())
    settings = ScoringSettings(settle_seconds=1)
    summary = score_folder(ScoreJob(inbox, champion, tmp_path / "out", settings), "run")
    assert (summary.files, summary.rows_scored, summary.deferred) == (8, 8, 0)
    assert len(OutputStore(tmp_path / "out").commits()) == 2, "the others were not kept waiting"


def test_file_that_is_written_all_the_time_is_left_for_the_next_run(
    champion: Bundle, inbox: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    growing = inbox / "picture-0001.png"
    for path in inbox.iterdir():
        os.utime(path, (1, 1))
    _young(growing, now)
    monkeypatch.setattr(score, "wait_until", lambda *_: _young(growing, now))
    job = ScoreJob(inbox, champion, tmp_path / "out", ScoringSettings(settle_seconds=30))
    summary = score_folder(job, "run", lambda: now)
    assert (summary.files, summary.rows_scored, summary.deferred) == (7, 7, 1)
    os.utime(growing, (1, 1))
    summary = score_folder(job, "run", lambda: now)
    assert (summary.files, summary.rows_scored, summary.deferred) == (8, 1, 0)


def test_file_with_a_time_in_the_far_future_is_scored(champion: Bundle, inbox: Path, tmp_path: Path) -> None:
    os.utime(inbox / "picture-0001.png", (2e9, 2e9))
    assert score_folder(ScoreJob(inbox, champion, tmp_path / "out", SMALL), "run", lambda: NOW).deferred == 0


def _stopped_run(inbox: Path, bundle: Bundle, out: Path, settings: ScoringSettings) -> None:
    """A run that ends, as if told to, after its first part, which it has not committed."""

    def stop(done: int, _: int) -> None:
        raise ConnectionResetError(f"after {done}")

    with pytest.raises(ConnectionResetError):
        score_folder(ScoreJob(inbox, bundle, out, settings), "first", lambda: NOW, stop)


@pytest.mark.parametrize("other", ["bundle", "settings"])
def test_open_plan_of_other_rows_is_given_up_with_its_parts(
    champion: Bundle, inbox: Path, tmp_path: Path, other: str
) -> None:
    store = OutputStore(tmp_path / "out")
    _stopped_run(inbox, champion, store.out, SMALL)
    (plan,) = store.plans.all()
    assert store.part_path(plan, 0).exists()
    bundle = champion._replace(sha256="f" * 64) if other == "bundle" else champion
    settings = ScoringSettings(shard_rows=3, top_k=1) if other == "settings" else SMALL
    assert _score(inbox, bundle, store.out, settings) == 8
    assert plan.plan_id not in {found.plan_id for found in store.plans.all()}
    assert not list(store.out.rglob(f"part-{plan.plan_id}-*"))
    assert _is_good(store)


def test_plan_that_another_run_overtook_is_given_up(champion: Bundle, inbox: Path, tmp_path: Path) -> None:
    """As where two runs wrote at once, and one of them came too late to commit."""
    store, late = OutputStore(tmp_path / "out"), OutputStore(tmp_path / "late")
    assert _score(inbox, champion, store.out) == 8
    # The same files once more, in a plan of other shards with a part on disk.
    _stopped_run(inbox, champion, late.out, ScoringSettings(shard_rows=2))
    (plan,) = late.plans.all()
    shutil.copytree(late.plans.of(plan.plan_id), store.plans.of(plan.plan_id))
    shutil.copy(late.part_path(plan, 0), store.part_path(plan, 0))
    assert _score(inbox, champion, store.out) == 0
    assert not list(store.out.rglob(f"part-{plan.plan_id}-*"))
    assert _is_good(store), "no file has two rows"


def test_plan_that_was_committed_in_part_is_closed_and_its_rows_stay(
    champion: Bundle, inbox: Path, tmp_path: Path
) -> None:
    store = OutputStore(tmp_path / "out")
    often = ScoringSettings(shard_rows=3, commit_seconds=0)
    _stopped_run(inbox, champion, store.out, often)
    assert store.read().num_rows == 3
    assert _score(inbox, champion, store.out, ScoringSettings(shard_rows=3, top_k=1)) == 5
    assert store.read().num_rows == 8
    assert _is_good(store)
    assert _score(inbox, champion, store.out, often) == 0, "nothing is planned twice"


def test_run_that_is_told_to_stop_commits_what_is_finished(
    champion: Bundle, inbox: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = OutputStore(tmp_path / "out")

    def stop(done: int, _: int) -> None:
        os.kill(os.getpid(), 15)

    with pytest.raises(ScoringStopped, match="Run the same command again") as error:
        score_folder(ScoreJob(inbox, champion, store.out, SMALL), "first", lambda: NOW, stop)
    assert error.value.exit_code == 143
    kept = store.read().num_rows
    assert kept in (3, 6, 8)
    assert _score(inbox, champion, store.out) == 8 - kept
    assert _is_good(store)


@pytest.mark.parametrize(
    ("settings", "is_refused"),
    [
        ({}, False),
        ({"max_bad_share": 0.25}, False),  # 6 of 24 are bad: exactly the share
        ({"max_bad_share": 0.24}, True),
        ({"max_bad_files": 6}, False),
        ({"max_bad_files": 5}, True),
    ],
)
def test_too_many_bad_files_fail_the_run_with_all_rows_kept(
    champion: Bundle, tmp_path: Path, settings: dict[str, float], is_refused: bool
) -> None:
    inbox, out = write_inbox(tmp_path / "many", 18, damaged=True), tmp_path / "out"
    job = ScoreJob(inbox, champion, out, ScoringSettings(**settings))
    for _ in range(2):  # the second run has nothing to score, and says the same
        if is_refused:
            with pytest.raises(TooManyBadFiles, match="6 of 24 files cannot be scored"):
                score_folder(job, "run", lambda: NOW)
        else:
            score_folder(job, "run", lambda: NOW)
        assert OutputStore(out).read().num_rows == 24


def test_share_is_not_asked_of_a_handful_of_files(champion: Bundle, tmp_path: Path) -> None:
    inbox = write_inbox(tmp_path / "few", 1, damaged=True)
    assert _score(inbox, champion, tmp_path / "out") == 7


def test_probabilities_are_kept_where_they_are_asked_for(champion: Bundle, inbox: Path, tmp_path: Path) -> None:
    _score(inbox, champion, tmp_path / "plain")
    assert set(OutputStore(tmp_path / "plain").read()["probabilities"].to_pylist()) == {None}
    _score(inbox, champion, tmp_path / "all", ScoringSettings(probabilities="all"))
    for row in OutputStore(tmp_path / "all").read().to_pylist():
        assert len(row["probabilities"]) == len(champion.card.classes)
        assert sum(row["probabilities"]) == pytest.approx(1, abs=1e-5)
        assert champion.card.classes[row["probabilities"].index(max(row["probabilities"]))] == row["label"]
