"""The Delta table says what the commit log says, after every publication, and never more."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from models.errors import SettingsError, StorageError
from models.serving.bundle import Bundle
from models.serving.commit import OutputStore
from models.serving.commit_log import Deed
from models.serving.compaction import compact
from models.serving.score import ScoreJob, ScoringSettings, score_folder
from models.serving.verify_output import verify_output
from models.serving.views import delta_table
from models.serving.views.delta_table import Published, publish_delta
from tests.conftest import NOW
from tests.pictures import write_inbox

deltalake = pytest.importorskip("deltalake")


def _score(inbox: Path, champion: Bundle, out: Path) -> None:
    score_folder(ScoreJob(inbox, champion, out, ScoringSettings(shard_rows=4)), "run", lambda: NOW)


def _paths(out: Path) -> list[str]:
    found: list[str] = deltalake.DeltaTable(str(out)).to_pyarrow_table(columns=["path"])["path"].to_pylist()
    return sorted(found)


def test_table_follows_the_log_through_new_rows_and_compaction(champion: Bundle, tmp_path: Path) -> None:
    inbox, store = write_inbox(tmp_path / "inbox", 6, damaged=True), OutputStore(tmp_path / "out")
    _score(inbox, champion, store.out)
    assert publish_delta(store) == Published(0, 3, 3, 0)
    assert publish_delta(store) == Published(0, 3, 0, 0), "once is enough"
    shutil.copy(inbox / "picture-0001.png", inbox / "late.png")
    _score(inbox, champion, store.out)
    assert publish_delta(store) == Published(1, 4, 1, 0)
    assert _paths(store.out) == sorted(store.read()["path"].to_pylist())
    compact(store, Deed("upkeep", NOW.isoformat()))
    assert publish_delta(store) == Published(2, 1, 1, 4)
    assert _paths(store.out) == sorted(store.read()["path"].to_pylist())
    assert all(check.is_good for check in verify_output(store))
    _score(inbox, champion, store.out)
    assert len(store.commits()) == 3, "its log is none of our files"


def test_old_parts_lack_columns_that_read_as_null(tmp_path: Path) -> None:
    golden = Path(__file__).parents[1] / "golden" / "predictions-2"
    store = OutputStore(Path(shutil.copytree(golden, tmp_path / "out")))
    publish_delta(store)
    table = deltalake.DeltaTable(str(store.out)).to_pyarrow_table()
    assert (table.num_rows, table["probabilities"].null_count) == (5, 5)


def test_log_that_was_torn_is_told_with_what_to_do(champion: Bundle, tmp_path: Path) -> None:
    store = OutputStore(tmp_path / "out")
    _score(write_inbox(tmp_path / "inbox", 2, damaged=False), champion, store.out)
    publish_delta(store)
    log = store.out / "_delta_log" / "00000000000000000000.json"
    log.write_bytes(log.read_bytes()[:100])
    with pytest.raises(StorageError, match="publish again; the predictions are not touched"):
        publish_delta(store)
    shutil.rmtree(log.parent)
    assert publish_delta(store) == Published(0, 1, 1, 0)


def test_without_the_package_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delta_table, "find_spec", lambda _: None)
    with pytest.raises(SettingsError, match=r"sortline\[delta\]"):
        publish_delta(OutputStore(tmp_path))
