"""Compaction and retention change which files hold the rows, never what was answered; verify finds what is wrong."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from models.errors import OutputBusy
from models.serving import commit_log
from models.serving.bundle import Bundle
from models.serving.commit import OutputStore
from models.serving.commit_log import Deed
from models.serving.compaction import Compacted, compact
from models.serving.output_retention import Retired, retire
from models.serving.score import ScoreJob, ScoringSettings, score_folder
from models.serving.verify_output import verify_output
from tests.conftest import NOW
from tests.pictures import write_inbox

DEED = Deed("upkeep", NOW.isoformat())
SMALL = ScoringSettings(shard_rows=3)
LATER = NOW + timedelta(days=1)


def _score(inbox: Path, bundle: Bundle, out: Path, at: datetime = NOW) -> int:
    return score_folder(ScoreJob(inbox, bundle, out, SMALL), "run", lambda: at).rows_scored


@pytest.fixture
def store(champion: Bundle, tmp_path: Path) -> OutputStore:
    """Ten files, then one that is new and one that has changed."""
    inbox, out = write_inbox(tmp_path / "inbox", 10, damaged=False), tmp_path / "out"
    assert _score(inbox, champion, out) == 10
    shutil.copy(inbox / "picture-0003.png", inbox / "late.png")
    (inbox / "picture-0004.png").write_bytes((inbox / "picture-0000.png").read_bytes())
    assert _score(inbox, champion, out, LATER) == 2
    return OutputStore(out)


def _bad(store: OutputStore, folder: Path | None = None) -> list[str]:
    return [check.name for check in verify_output(store, folder) if not check.is_good]


def test_merged_parts_hold_the_same_rows_and_nothing_is_scored_again(
    store: OutputStore, champion: Bundle, tmp_path: Path
) -> None:
    before = store.read()
    assert compact(store, DEED) == Compacted(5, 1, 12)
    assert store.read().equals(before)
    assert [path.name[:7] for path in (store.out / "data").rglob("*.parquet")] == ["merged-"]
    assert _bad(store, tmp_path / "inbox") == []
    assert _score(tmp_path / "inbox", champion, store.out) == 0
    assert compact(store, DEED) == Compacted(1, 1, 12)
    shutil.copy(tmp_path / "inbox" / "picture-0001.png", tmp_path / "inbox" / "later.png")
    assert _score(tmp_path / "inbox", champion, store.out) == 1
    assert store.read()["path"].to_pylist() == [*before["path"].to_pylist(), "later.png"]


def test_merged_parts_stand_where_the_old_ones_stood(store: OutputStore) -> None:
    order = store.read()["path"].to_pylist()
    assert compact(store, DEED, most_rows=6).parts_after == 2
    assert store.read()["path"].to_pylist() == order
    assert compact(store, DEED, most_rows=2) == Compacted(2, 2, 12), "what is large enough stays"


@pytest.mark.parametrize("dies_in", ["append", "remove_replaced"])
def test_compaction_that_dies_leaves_the_old_parts_or_the_new_ones(
    store: OutputStore, monkeypatch: pytest.MonkeyPatch, dies_in: str
) -> None:
    before = store.read()

    def dying(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        owner = commit_log.CommitLog if dies_in == "append" else OutputStore
        real = OutputStore.remove_replaced
        calls: list[int] = []

        def second_time(self: OutputStore) -> None:
            calls.append(1)
            if len(calls) > 1:
                raise KeyboardInterrupt
            real(self)

        patch.setattr(owner, dies_in, dying if dies_in == "append" else second_time)
        with pytest.raises(KeyboardInterrupt):
            compact(store, DEED)
    assert store.read().equals(before)
    with store.hold():
        pass
    assert _bad(store) == []
    assert store.read().equals(before)


def test_retention_keeps_the_newest_row_of_every_path_unless_everything_is_to_go(
    store: OutputStore, champion: Bundle, tmp_path: Path
) -> None:
    for name in ("picture-0003.png", "picture-0005.png"):
        (tmp_path / "inbox" / name).write_bytes((tmp_path / "inbox" / "picture-0000.png").read_bytes())
    assert _score(tmp_path / "inbox", champion, store.out, LATER) == 2
    assert retire(store, DEED, NOW) == Retired(0, 0), "nothing is older than its own time"
    newest = {row["path"]: row["sha256"] for row in store.read().to_pylist()}
    assert retire(store, DEED, LATER) == Retired(1, 3), "pictures 3, 4 and 5 have newer rows"
    assert {row["path"]: row["sha256"] for row in store.read().to_pylist()} == newest
    assert retire(store, DEED, LATER, everything=True) == Retired(3, 7)
    assert _score(tmp_path / "inbox", champion, store.out) == 0, "files whose rows went are still known"
    assert _bad(store, tmp_path / "inbox") == []


def test_upkeep_waits_for_nobody(store: OutputStore) -> None:
    with store.hold(), pytest.raises(OutputBusy):
        compact(store, DEED)
    with store.hold(), pytest.raises(OutputBusy):
        retire(store, DEED, LATER)


def _flip(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))


def _replace_picture(store: OutputStore) -> None:
    picture = store.out.parent / "inbox" / "picture-0002.png"
    found = picture.stat()
    data = bytearray(picture.read_bytes())
    data[-1] ^= 1
    picture.write_bytes(data)
    os.utime(picture, ns=(found.st_atime_ns, found.st_mtime_ns))


@pytest.mark.parametrize(
    ("spoil", "found"),
    [
        (lambda store: None, []),
        (lambda store: _flip(store.paths()[0]), ["parts", "one row a file"]),
        (lambda store: _flip(next(store.plans.folder.glob("*/inputs.parquet"))), ["plans", "pictures"]),
        (lambda store: _flip(sorted(store.log.folder.iterdir())[0]), ["commit log"]),
        (lambda store: shutil.copy(store.paths()[0], store.paths()[0].with_name("part-x.parquet")), ["nothing else"]),
        (_replace_picture, ["pictures"]),
    ],
)
def test_verify_finds_what_is_wrong_and_only_that(
    store: OutputStore, tmp_path: Path, spoil: Callable[[OutputStore], object], found: list[str]
) -> None:
    spoil(store)
    bad = _bad(store, tmp_path / "inbox")
    assert set(found) <= set(bad)
    if not found or len(found) == 1:
        assert bad == found


def test_verify_tells_what_changed_since(store: OutputStore, tmp_path: Path) -> None:
    (tmp_path / "inbox" / "picture-0001.png").unlink()
    (tmp_path / "inbox" / "picture-0002.png").write_bytes(b"another picture")
    *_, pictures = verify_output(store, tmp_path / "inbox")
    assert pictures.is_good
    assert pictures.found == "1 changed since, 1 gone or unreadable since, 9 unchanged"


def test_verify_tells_of_open_plans(store: OutputStore, champion: Bundle, tmp_path: Path) -> None:
    commits = store.commits()
    (store.log.folder / f"{commits[-1].sequence:012}.json").unlink()
    found = {check.name: check.found for check in verify_output(store)}
    assert found["nothing else"] == "1 open plans with 2 files"


def test_utc_is_what_commits_say(store: OutputStore) -> None:
    assert [datetime.fromisoformat(c.at).tzinfo for c in store.commits()] == [UTC, UTC]
