"""What tests and benchmarks of scoring under faults share: starting a run, and what has to hold after any end of it."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from models.artifacts.durable import TEMPORARY_PREFIX
from models.data.listing import listing_table
from models.serving.commit import OutputStore

Rows = dict[str, tuple[object, ...]]


class Case(NamedTuple):
    """Pictures, the folder of a bundle, and where predictions go."""

    inbox: Path
    bundle: Path
    out: Path

    def command(self, *options: object) -> list[str]:
        """The command of one run."""
        given = [*map(str, self), *map(str, options)]
        return [sys.executable, "-m", "tests.faults.scoring_process", *given]

    def start(self, *options: object) -> subprocess.Popen[str]:
        """A run that has begun to score."""
        process = subprocess.Popen(self.command(*options), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n", process.communicate()[1]
        return process

    def run(self, *options: object) -> subprocess.CompletedProcess[str]:
        """A run to its end."""
        return subprocess.run(self.command(*options), capture_output=True, text=True, timeout=120, check=False)

    def finish(self) -> str:
        """A run that has to end well; the last line that it said."""
        done = self.run()
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()[-1]

    def rows(self) -> Rows:
        """Committed rows by path."""
        return {str(row["path"]): _answer(row) for row in OutputStore(self.out).read().to_pylist()}

    def violations(self, reference: Rows) -> list[str]:
        """What is wrong with the rows that count: doubled, wrong, or of no file."""
        table = OutputStore(self.out).read()
        counts = Counter(table["path"].to_pylist())
        doubled = [f"{path} has {count} rows" for path, count in counts.items() if count > 1]
        wrong = [f"{path} has a wrong row" for path, answer in self.rows().items() if reference.get(path) != answer]
        return doubled + wrong

    def incomplete(self, reference: Rows) -> list[str]:
        """What is wrong after a run that ended well."""
        names = set(listing_table(self.inbox)["path"].to_pylist())
        missing = [f"{name} has no row" for name in sorted(names - set(self.rows()))]
        left = [f"{path} was left" for path in self.out.rglob(f"{TEMPORARY_PREFIX}*")]
        unnamed = {str(p.relative_to(self.out)) for p in self.out.rglob("*.parquet") if "_plans" not in p.parts}
        unnamed -= {part.path for _, part in OutputStore(self.out).live()}
        orphans = [f"{name} is in no commit" for name in sorted(unnamed)]
        return self.violations(reference) + missing + left + orphans


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Exit code of a process, and what it said on its error stream."""
    _, said = process.communicate(timeout=60)
    return process.returncode, said


def _answer(row: dict[str, object]) -> tuple[object, ...]:
    score = row["score"]
    return row["sha256"], row["status"], row["label"], round(score, 5) if isinstance(score, float) else None
