"""One scoring run as a process, without Prefect: FOLDER BUNDLE OUT; exits as `sortline` does."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path

from models.errors import SortlineError
from models.serving.bundle import read_bundle
from models.serving.picture_scorer import PictureScorer, Scored
from models.serving.score import ScoreJob, ScoringSettings, score_folder


def main() -> int:
    """Scores; says "ready" once it begins, and then how many files are done."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--shard-rows", type=int, default=4)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--seconds-a-file", type=float, default=0.0)
    parser.add_argument("--commit-seconds", type=float, default=0.05)
    parser.add_argument("--crash-at", default="")
    given = parser.parse_args()
    _disturb(given.seconds_a_file, given.crash_at)
    settings = ScoringSettings(
        shard_rows=given.shard_rows,
        processes=given.processes,
        threads=2,
        settle_seconds=0,
        commit_seconds=given.commit_seconds,
    )
    try:
        job = ScoreJob(given.folder, read_bundle(given.bundle), given.out, settings)
        _say("ready")
        summary = score_folder(job, str(uuid.uuid4()), on_progress=lambda done, _: _say(str(done)))
    except SortlineError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    # Of this program alone: what `wait4` tells of a child begins with what its parent held when it forked.
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    _say(f"peak {peak.split()[1]} kB")
    _say(f"scored {summary.rows_scored} of {summary.files}")
    return 0


def _disturb(seconds_a_file: float, crash_at: str) -> None:
    """Makes every file slow, or the decoder of one file the end of the process that it runs in."""
    real = PictureScorer.score_read

    def score_read(self: PictureScorer, read: Callable[[int], bytes], name: str) -> Scored:
        time.sleep(seconds_a_file)
        if crash_at and name.endswith(crash_at):
            os.kill(os.getpid(), signal.SIGSEGV)
        return real(self, read, name)

    if seconds_a_file or crash_at:
        PictureScorer.score_read = score_read  # type: ignore[method-assign]


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # as the command line leaves: without the native libraries' teardown
