"""Scoring where the Nth system call kills it or fails: rows that count stay right, and the next run completes.

strace does it to a real process, with no hook in the product. It counts calls of each thread by itself; all writing is
done by the main thread.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from models.serving.bundle import Bundle
from tests.faults.scoring_cases import Case, Rows
from tests.pictures import write_inbox

pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace"),
]
FILES = 6
# Of every call that changes the output; more would be of runs that survived.
MOST = 40
CALLS = ("fsync", "rename", "link", "unlink", "mkdir")
WAYS = ("signal=SIGKILL", "error=EIO", "error=ENOSPC")


@pytest.fixture
def case(champion: Bundle, tmp_path: Path) -> Case:
    return Case(write_inbox(tmp_path / "inbox", FILES, damaged=False), champion.folder, tmp_path / "out")


@pytest.fixture
def reference(case: Case, tmp_path: Path) -> Rows:
    quiet = case._replace(out=tmp_path / "quiet")
    quiet.finish()
    return quiet.rows()


def _injected(case: Case, call: str, way: str, number: int) -> int:
    """Exit code of a run whose Nth call is done that to; negative where a signal ended it."""
    inject = f"inject={call}:{way}:when={number}"
    command = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", inject, *case.command()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode


def _survives(case: Case, reference: Rows, call: str, way: str, number: int) -> bool:
    """Whether the run came through; either way its rows and the next run are looked at."""
    shutil.rmtree(case.out, ignore_errors=True)
    code = _injected(case, call, way, number)
    assert code == 0 or (code in (-9, 137) if way == "signal=SIGKILL" else code in (74, 75)), (call, way, number, code)
    assert case.violations(reference) == [], (call, way, number)
    case.finish()
    assert case.incomplete(reference) == [], (call, way, number)
    return code == 0


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("call", CALLS)
def test_call_that_kills_or_fails_costs_no_row(case: Case, reference: Rows, call: str, way: str) -> None:
    reached = 0
    for number in range(1, MOST):
        if _survives(case, reference, call, way, number):
            break
        reached += 1
    # A failed unlink of what was left, or a failed rename that is not ours, may pass unnoticed.
    assert reached >= (0 if call in ("rename", "unlink") else 3), f"only {reached} calls of {call} were reached"


@pytest.mark.parametrize(
    ("call", "way", "number"), [("fsync", WAYS[0], 9), ("link", WAYS[0], 2), ("fsync", WAYS[1], 7)]
)
def test_short_call_that_kills_or_fails(case: Case, reference: Rows, call: str, way: str, number: int) -> None:
    assert not _survives(case, reference, call, way, number)
