"""The same table from a store as from a disk, whatever the store's answers are."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from models.artifacts.places import place_of
from models.artifacts.workspace import Workspace
from models.errors import OutputBusy, SettingsError
from models.serving.bundle import Bundle
from models.serving.commit import OutputStore
from models.serving.commit_log import Deed
from models.serving.compaction import compact
from models.serving.score import ScoreJob, ScoringSettings, score_folder
from models.serving.verify_output import verify_output
from tests.conftest import MODEL, NOW
from tests.object_store import READ_TIMEOUT_S, Store, running_store
from tests.pictures import write_inbox

SETTINGS = ScoringSettings(shard_rows=3, settle_seconds=0, max_bad_share=1)
SAID_OF_THE_RUN = {"plan_id", "run_id", "scored_at"}
Answers = list[dict[str, object]]


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    fsspec_config = pytest.importorskip("fsspec.config")
    s3fs = pytest.importorskip("s3fs")
    with running_store() as running:
        for name, value in running.environment.items():
            monkeypatch.setenv(name, value)
        waits = {"connect_timeout": READ_TIMEOUT_S, "read_timeout": READ_TIMEOUT_S}
        monkeypatch.setitem(fsspec_config.conf, "s3", {"config_kwargs": waits})
        s3fs.S3FileSystem.clear_instance_cache()
        yield running
        s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    folder = write_inbox(tmp_path / "inbox", 14, damaged=True)
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "picture-0000.png").rename(folder / "deep" / "er" / "bär #1.png")
    return folder


def _score(folder: Path, bundle: Bundle, out: Path) -> int:
    return score_folder(ScoreJob(folder, bundle, out, SETTINGS), "run", lambda: NOW).rows_scored


def _answers(out: Path) -> Answers:
    """All that rows say of files, in their order."""
    rows = OutputStore(out).read().to_pylist()
    return [{key: value for key, value in row.items() if key not in SAID_OF_THE_RUN} for row in rows]


def test_scoring_from_and_to_a_store_gives_the_table_of_the_disk(
    store: Store, champion: Bundle, inbox: Path, tmp_path: Path
) -> None:
    _score(inbox, champion, tmp_path / "out")
    pictures, out = store.upload(inbox, "s3://plant/inbox"), place_of("s3://plant/out")
    assert _score(pictures, champion, out) == 20
    assert _answers(out) == _answers(tmp_path / "out")
    assert _score(pictures, champion, out) == 0, "nothing is scored twice"
    checks = verify_output(OutputStore(out), pictures)
    assert [check.name for check in checks if not check.is_good] == []


def test_changed_and_new_objects_get_a_row_and_parts_are_merged(
    store: Store, champion: Bundle, inbox: Path, tmp_path: Path
) -> None:
    pictures, out = store.upload(inbox, "s3://plant/inbox"), place_of("s3://plant/out")
    _score(pictures, champion, out)
    data = (inbox / "picture-0001.png").read_bytes()
    for name in ("picture-0002.png", "new.png"):
        (pictures / name).write_bytes(data)
    assert _score(pictures, champion, out) == 2
    before = _answers(out)
    merged = compact(OutputStore(out), Deed("upkeep", NOW.isoformat()))
    assert (merged.parts_before, merged.parts_after) == (8, 1)
    assert _answers(out) == before
    assert _score(pictures, champion, out) == 0


def test_failing_slow_and_lost_answers_cost_nothing_but_time(
    store: Store, champion: Bundle, inbox: Path, tmp_path: Path
) -> None:
    _score(inbox, champion, tmp_path / "out")
    pictures, out = store.upload(inbox, "s3://plant/inbox"), place_of("s3://plant/out")
    store.faulty.share = 0.15
    scored = _score(pictures, champion, out)
    store.faulty.share = 0.0
    assert scored == 20
    assert set(store.faulty.faults) >= {"500", "throttled", "lost"}, store.faulty.faults
    assert _answers(out) == _answers(tmp_path / "out")


def test_two_runs_at_once_lose_and_double_nothing(store: Store, champion: Bundle, inbox: Path, tmp_path: Path) -> None:
    _score(inbox, champion, tmp_path / "out")
    pictures, out = store.upload(inbox, "s3://plant/inbox"), place_of("s3://plant/out")
    ends: list[str] = []

    def run(settings: ScoringSettings) -> None:
        try:
            score_folder(ScoreJob(pictures, champion, out, settings), "run", lambda: NOW)
            ends.append("done")
        except OutputBusy:
            ends.append("busy")

    often = SETTINGS.model_copy(update={"commit_seconds": 0})
    runs = [threading.Thread(target=run, args=(s,)) for s in (often, often.model_copy(update={"shard_rows": 4}))]
    for thread in runs:
        thread.start()
    for thread in runs:
        thread.join()
    assert len(ends) == 2
    for _ in range(2):
        _score(pictures, champion, out)
    rows = _answers(out)
    assert max(Counter(row["path"] for row in rows).values()) == 1
    assert sorted(rows, key=_path) == sorted(_answers(tmp_path / "out"), key=_path)


def test_command_line_reads_and_writes_addresses(
    store: Store, champion_workspace: Workspace, inbox: Path, tmp_path: Path
) -> None:
    store.upload(inbox, "s3://plant/inbox")
    command = [sys.executable, "-m", "flows.command_line", "score", "s3://plant/inbox", "--name", MODEL, "--json"]
    command += [
        "--out",
        "s3://plant/out",
        "--workspace",
        str(champion_workspace.root),
        "--set",
        "scoring.max_bad_share=1",
    ]
    command += ["--set", "scoring.settle_seconds=0"]
    environment = {**os.environ, **store.environment}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout.splitlines()[-1])
    assert (answer["rows_scored"], answer["folder"], answer["out"]) == (20, "s3://plant/inbox", "s3://plant/out")


@pytest.mark.parametrize(("address", "says"), [("ftp://host/pictures", "a store of kind ftp"), ("gs://b/p", "gcsfs")])
def test_store_that_cannot_be_used_says_what_to_do(address: str, says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        place_of(address)


def _path(row: dict[str, object]) -> str:
    return str(row["path"])
