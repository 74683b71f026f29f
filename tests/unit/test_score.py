"""Exactly once: whatever is interrupted, every file ends with one row, and nothing acknowledged is lost."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.artifacts import durable
from models.data.listing import listing_table
from models.errors import ArtifactChanged, ContractBroken, OutputBusy, SettingsError
from models.serving import commit, commit_log, plans
from models.serving.bundle import Bundle
from models.serving.commit import OutputStore
from models.serving.score import ScoreJob, ScoringSettings, score_folder
from models.serving.session import ImageSession
from tests.conftest import NOW
from tests.pictures import write_inbox, write_raw_name

SMALL_SHARDS = ScoringSettings(shard_rows=5)
ANSWER = ["path", "sha256", "status", "reason", "label", "score", "margin", "top_labels", "top_scores", "brightness"]


def _score(folder: Path, bundle: Bundle, out: Path, settings: ScoringSettings = SMALL_SHARDS) -> int:
    summary = score_folder(ScoreJob(folder, bundle, out, settings), "run", lambda: NOW)
    assert summary.files == sum(summary.rows_by_status.values()) == listing_table(folder).num_rows
    return summary.rows_scored


def _answers(out: Path) -> list[dict[str, object]]:
    return sorted(OutputStore(out).read().select(ANSWER).to_pylist(), key=lambda row: str(row["path"]))


def _tree(out: Path) -> dict[str, bytes]:
    return {str(p.relative_to(out)): p.read_bytes() for p in sorted(out.rglob("*")) if p.is_file()}


def test_files_in_equals_rows_out_and_bad_files_change_no_good_one(champion: Bundle, tmp_path: Path) -> None:
    mixed = write_inbox(tmp_path / "mixed", 13, damaged=True)
    write_raw_name(mixed, b"caf\xe9.png", (mixed / "picture-0001.png").read_bytes())
    (mixed / ".hidden").write_bytes(b"x")
    clean = write_inbox(tmp_path / "clean", 13, damaged=False)
    assert _score(mixed, champion, tmp_path / "a") == 13 + 6 + 2
    assert _score(clean, champion, tmp_path / "b") == 13
    rows = _answers(tmp_path / "a")
    assert len({row["path"] for row in rows}) == len(rows) == 21
    good = [row for row in rows if str(row["path"]).startswith("picture-")]
    assert good == _answers(tmp_path / "b"), "bit for bit the same as without the bad ones"
    found = {row["path"]: (row["status"], row["reason"], row["label"]) for row in rows if row["status"] != "ok"}
    assert found == {
        ".hidden": ("ignored", "system_file", None),
        "damaged-truncated.png": ("unreadable", "truncated_or_corrupt", None),
        "damaged-flipped-byte.png": ("unreadable", "truncated_or_corrupt", None),
        "damaged-empty.png": ("unreadable", "empty_file", None),
        "damaged-web-page.jpg": ("unsupported", "not_an_image", None),
        "damaged-bomb.png": ("too_large", "too_many_pixels", None),
        "notes.txt": ("unsupported", "not_an_image", None),
    }


@pytest.mark.parametrize("other", [{"threads": 1}, {"threads": 4}, {"shard_rows": 100}, {"top_k": 3}])
def test_answers_do_not_depend_on_threads_or_shards(champion: Bundle, tmp_path: Path, other: dict[str, int]) -> None:
    inbox = write_inbox(tmp_path / "inbox", 12, damaged=True)
    _score(inbox, champion, tmp_path / "a")
    _score(inbox, champion, tmp_path / "b", ScoringSettings(**other))
    assert _answers(tmp_path / "a") == _answers(tmp_path / "b")


def test_second_run_scores_nothing_and_changes_no_byte(champion: Bundle, tmp_path: Path) -> None:
    inbox = write_inbox(tmp_path / "inbox", 7, damaged=True)
    _score(inbox, champion, tmp_path / "out")
    before = _tree(tmp_path / "out")
    assert _score(inbox, champion, tmp_path / "out") == 0
    assert _tree(tmp_path / "out") == before


def test_only_new_and_changed_files_are_scored_again(champion: Bundle, tmp_path: Path) -> None:
    inbox = write_inbox(tmp_path / "inbox", 6, damaged=False)
    _score(inbox, champion, tmp_path / "out")
    shutil.copy(inbox / "picture-0003.png", inbox / "aaa-late-but-first.png")
    (inbox / "picture-0004.png").write_bytes((inbox / "picture-0000.png").read_bytes())
    assert _score(inbox, champion, tmp_path / "out") == 2
    latest = {row["path"]: row["sha256"] for row in OutputStore(tmp_path / "out").read().to_pylist()}
    assert latest["picture-0004.png"] == latest["picture-0000.png"]
    assert latest["aaa-late-but-first.png"] == latest["picture-0003.png"]


def test_file_that_changed_after_the_plan_is_not_scored_under_its_old_name(
    champion: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inbox, out = write_inbox(tmp_path / "inbox", 3, damaged=False), tmp_path / "out"
    real = plans.PlanStore.write

    def plan_then_change(self: plans.PlanStore, plan: plans.Plan, inputs: bytes) -> None:
        real(self, plan, inputs)
        monkeypatch.setattr(plans.PlanStore, "write", real)
        shutil.copy(inbox / "picture-0000.png", inbox / "picture-0001.png")

    monkeypatch.setattr(plans.PlanStore, "write", plan_then_change)
    assert _score(inbox, champion, out) == 3
    assert [row["status"] for row in _answers(out)] == ["ok", "changed", "ok"]
    assert _score(inbox, champion, out) == 1
    assert [row["status"] for row in _answers(out)] == ["ok", "changed", "ok", "ok"]
    assert _score(inbox, champion, out) == 0


@pytest.mark.parametrize(("failures", "stops"), [(1, False), (8, True)])
def test_inference_that_fails_costs_one_row_unless_it_fails_on_most(
    champion: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failures: int, stops: bool
) -> None:
    inbox, out = write_inbox(tmp_path / "inbox", 12, damaged=False), tmp_path / "out"
    real, left = ImageSession.run, list(range(failures))
    golden = list(range(champion.golden.num_rows))

    def failing(self: ImageSession, pixels: NDArray[np.uint8], outputs: Sequence[str]) -> object:
        if golden:
            golden.pop()
        elif left:
            left.pop()
            raise RuntimeError("a picture that the graph trips over")
        return real(self, pixels, outputs)

    with monkeypatch.context() as patch:
        patch.setattr(ImageSession, "run", failing)
        if stops:
            with pytest.raises(ContractBroken, match="inference failed on 8 of 12 pictures"):
                _score(inbox, champion, out, ScoringSettings())
            return
        _score(inbox, champion, out, ScoringSettings())
    assert [row["reason"] for row in _answers(out)].count("inference_failed") == 1
    assert _score(inbox, champion, out) == 1, "it is tried again"


def test_output_belongs_to_one_folder(champion: Bundle, tmp_path: Path) -> None:
    first = write_inbox(tmp_path / "first", 2, damaged=False)
    second = write_inbox(tmp_path / "second", 2, damaged=False)
    _score(first, champion, tmp_path / "out")
    with pytest.raises(SettingsError, match=r"out holds the predictions of .*first"):
        _score(second, champion, tmp_path / "out")
    with pytest.raises(SettingsError, match="lies inside the folder of pictures"):
        _score(first, champion, first / "out")


def test_escaped_name_is_not_taken_for_the_true_name_of_another_file(champion: Bundle, tmp_path: Path) -> None:
    inbox = write_inbox(tmp_path / "inbox", 1, damaged=False)
    write_raw_name(inbox, b"caf\xe9.png", b"")
    shutil.copy(inbox / "picture-0000.png", inbox / "caf\\xe9.png")
    assert _score(inbox, champion, tmp_path / "out") == 3
    assert _score(inbox, champion, tmp_path / "out") == 0


def test_empty_folder_is_no_error_and_gives_no_row(champion: Bundle, tmp_path: Path) -> None:
    (tmp_path / "inbox").mkdir()
    assert _score(tmp_path / "inbox", champion, tmp_path / "out") == 0
    assert OutputStore(tmp_path / "out").read().num_rows == 0


class _Died(BaseException):
    """Stands for the process's end between two writes."""


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(deaths=st.lists(st.integers(1, 8), max_size=4), late=st.booleans())
def test_after_any_deaths_every_file_has_one_row(
    champion: Bundle, tmp_path_factory: pytest.TempPathFactory, deaths: list[int], late: bool
) -> None:
    root = tmp_path_factory.mktemp("deaths")
    inbox = write_inbox(root / "inbox", 11, damaged=False)
    real = durable.write_durably
    for death in deaths:
        left = [death]

        def dying(path: Path, data: bytes, *, exclusive: bool = False, left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] == 0:
                (path.parent / f"{durable.TEMPORARY_PREFIX}dead").parent.mkdir(parents=True, exist_ok=True)
                (path.parent / f"{durable.TEMPORARY_PREFIX}dead").write_bytes(data[: len(data) // 2])
                raise _Died
            real(path, data, exclusive=exclusive)

        with pytest.MonkeyPatch.context() as patch:
            for module in (commit, commit_log, plans):
                patch.setattr(module, "write_durably", dying)
            try:
                _score(inbox, champion, root / "out")
            except _Died:
                assert OutputStore(root / "out").read().num_rows in (0, 11), "a plan is visible whole or not at all"
    if late:
        shutil.copy(inbox / "picture-0003.png", inbox / "a-late.png")
    _score(inbox, champion, root / "out")
    counts = Counter(OutputStore(root / "out").read()["path"].to_pylist())
    assert set(counts.values()) == {1}
    assert set(counts) == set(listing_table(inbox)["path"].to_pylist())
    assert not list((root / "out").rglob(f"{durable.TEMPORARY_PREFIX}*"))


_HOLD = """
import sys
from pathlib import Path
from models.serving.commit import OutputStore
with OutputStore(Path(sys.argv[1])).hold():
    sys.stdout.write("ready\\n")
    sys.stdout.flush()
    sys.stdin.read()
"""


def test_second_run_at_the_same_time_is_told_so(champion: Bundle, tmp_path: Path) -> None:
    inbox, out = write_inbox(tmp_path / "inbox", 3, damaged=False), tmp_path / "out"
    command = [sys.executable, "-c", _HOLD, str(out)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "ready\n"
        with pytest.raises(OutputBusy, match="another run is writing") as error:
            _score(inbox, champion, out)
        assert error.value.exit_code == 75
        other.communicate("")
    assert _score(inbox, champion, out) == 3


def test_altered_part_and_altered_log_refuse(champion: Bundle, tmp_path: Path) -> None:
    inbox, out = write_inbox(tmp_path / "inbox", 3, damaged=False), tmp_path / "out"
    _score(inbox, champion, out)
    (part,) = (out / "data").rglob("*.parquet")
    data = part.read_bytes()
    part.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(ArtifactChanged, match="is not what was committed"):
        OutputStore(out).read()
    part.write_bytes(data)
    shutil.copy(inbox / "picture-0000.png", inbox / "more.png")
    _score(inbox, champion, out)
    first = out / "_commits" / "000000000001.json"
    first.write_bytes(first.read_bytes() + b" ")
    with pytest.raises(ArtifactChanged, match="is not what was committed"):
        OutputStore(out).commits()


def test_parts_are_plain_parquet_that_pandas_reads_by_glob(champion: Bundle, tmp_path: Path) -> None:
    import pandas as pd

    _score(write_inbox(tmp_path / "inbox", 11, damaged=True), champion, tmp_path / "out")
    parts = sorted((tmp_path / "out" / "data").rglob("part-*.parquet"))
    frame = pd.concat([pd.read_parquet(part) for part in parts])
    assert len(parts) == 4
    assert len(frame) == 17
    assert os.path.basename(frame["path"].iloc[0]) == frame["path"].iloc[0]  # noqa: PTH119
