"""Scoring under real signals, two at once, a decoder that crashes, storage that refuses: one row a file at the end."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from models.serving.bundle import Bundle
from models.serving.commit import OutputStore
from tests.faults.scoring_cases import Case, Rows, ended
from tests.pictures import write_inbox

pytestmark = pytest.mark.faults
FILES = 30
SLOW = ("--seconds-a-file", 0.05)


@pytest.fixture
def case(champion: Bundle, tmp_path: Path) -> Case:
    return Case(write_inbox(tmp_path / "inbox", FILES, damaged=False), champion.folder, tmp_path / "out")


@pytest.fixture
def reference(case: Case, tmp_path: Path) -> Rows:
    """The rows of a run that nothing disturbs."""
    quiet = case._replace(out=tmp_path / "quiet")
    quiet.finish()
    assert quiet.incomplete(quiet.rows()) == []
    return quiet.rows()


def _until_some_parts(case: Case, count: int = 2) -> None:
    while len(list(case.out.rglob("part-*.parquet"))) < count:
        time.sleep(0.01)


def test_scoring_told_to_stop_ends_soon_and_goes_on(case: Case, reference: Rows) -> None:
    process = case.start(*SLOW)
    _until_some_parts(case)
    told = time.monotonic()
    process.send_signal(signal.SIGTERM)
    code, said = ended(process)
    assert time.monotonic() - told < 10
    assert code == 143, said
    assert "Run the same command again" in said
    kept = OutputStore(case.out).read().num_rows
    assert kept >= 8
    assert case.violations(reference) == []
    assert case.finish() == f"scored {FILES - kept} of {FILES}"
    assert case.incomplete(reference) == []


def test_second_scoring_at_the_same_time_is_told_so(case: Case, reference: Rows) -> None:
    first = case.start(*SLOW)
    _until_some_parts(case, 1)
    second = case.run()
    assert second.returncode == 75
    assert "another run is writing" in second.stderr
    assert ended(first)[0] == 0
    assert case.incomplete(reference) == []


@pytest.mark.parametrize("processes", [1, 2])
def test_run_that_was_frozen_and_lost_its_lock_cannot_commit(case: Case, reference: Rows, processes: int) -> None:
    frozen = case.start("--seconds-a-file", 0.1)
    _until_some_parts(case, 1)
    frozen.send_signal(signal.SIGSTOP)
    (case.out / ".lock").unlink()
    (case.inbox / "picture-0000.png").rename(case.inbox / "renamed.png")
    reference = {("renamed.png" if k == "picture-0000.png" else k): v for k, v in reference.items()}
    assert case.run("--processes", processes).returncode == 0
    before = case.rows()
    frozen.send_signal(signal.SIGCONT)
    code, said = ended(frozen)
    assert code == 75, said
    assert case.rows() == before
    known = {path: row for path, row in case.rows().items() if path in reference}
    assert known == reference


@pytest.mark.parametrize("processes", [1, 2])
def test_killed_run_leaves_no_process_that_writes(case: Case, reference: Rows, processes: int) -> None:
    process = case.start(*SLOW, "--processes", processes)
    _until_some_parts(case, 1)
    process.kill()
    ended(process)
    deadline = time.monotonic() + 20
    while (done := case.run()).returncode == 75 and time.monotonic() < deadline:
        time.sleep(0.2)  # its processes, which hold the lock, die with it
    assert done.returncode == 0, done.stderr
    assert case.incomplete(reference) == []


def test_file_at_which_the_decoder_died_is_decoded_apart(case: Case, reference: Rows) -> None:
    died = case.run("--crash-at", "picture-0007.png")
    assert died.returncode == -signal.SIGSEGV
    assert case.violations(reference) == []
    # It would die again, and again, if it were decoded in the same way.
    again = case.run("--crash-at", "picture-0007.png")
    assert again.returncode == 0, again.stderr
    assert case.incomplete(reference) == []


def test_full_disk_is_told_and_the_run_completes_once_there_is_space(case: Case, reference: Rows) -> None:
    """Files may not grow beyond some kilobytes: a write fails in its middle, as on a full disk."""
    command = case.command("--shard-rows", 20)
    limited = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, preexec_fn=_small_files)
    assert limited.returncode == 74, limited.stderr
    assert "could not be written: File too large" in limited.stderr
    assert "Free space" in limited.stderr
    assert case.violations(reference) == []
    case.finish()
    assert case.incomplete(reference) == []


def _small_files() -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (6000, 6000))


def test_full_file_system_is_told_and_the_run_completes_once_there_is_space(
    case: Case, reference: Rows, tmp_path: Path
) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=160k", "tmpfs", str(small)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("this user may not mount a file system of its own")
    try:
        full = case._replace(out=small / "out")
        ballast = small / "ballast"
        ballast.write_bytes(bytes(100_000))
        done = full.run()
        assert done.returncode == 74, done.stderr
        assert "No space left on device" in done.stderr
        assert str(full.out) in done.stderr
        ballast.unlink()
        full.finish()
        assert full.incomplete(reference) == []
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_place_that_cannot_be_written_is_told_before_any_picture_is_scored(case: Case) -> None:
    case.out.parent.joinpath("file").write_bytes(b"")
    blocked = case._replace(out=case.out.parent / "file" / "out")
    done = blocked.run()
    assert done.returncode == 74
    assert "could not be made" in done.stderr
    assert done.stdout == "ready\n"


def test_late_files_and_kills_together_end_with_one_row_a_file(case: Case, reference: Rows) -> None:
    rng = np.random.default_rng(1)
    for k in range(6):
        process = case.start("--seconds-a-file", 0.005)
        time.sleep(float(rng.uniform(0, 0.25)))
        process.kill()
        ended(process)
        assert case.violations(reference) == []
        late = f"late-{k}.png"
        os.link(case.inbox / "picture-0001.png", case.inbox / late)
        reference[late] = reference["picture-0001.png"]
    case.finish()
    assert case.incomplete(reference) == []
