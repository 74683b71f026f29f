"""Scoring that is killed at random moments, hundreds of times: which states were reached, and whether a row was wrong.

Real processes and SIGKILL. Every trial begins where the one before ended, with late files now and then, and a new
output every few trials; what a trial reached is told by what is on disk after its kill. Runs that ended before their
kill are counted apart.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.result_file import write_result
from models.artifacts.durable import TEMPORARY_PREFIX
from models.artifacts.workspace import Workspace
from models.serving.commit import OutputStore
from tests.chain import train_bundle
from tests.faults.scoring_cases import Case, Rows, ended
from tests.pictures import write_inbox, write_labelled

KILLS, FILES, TRIALS_AN_OUTPUT = 300, 90, 3
# Slow enough that kills meet files.
SLOWLY = ("--seconds-a-file", 0.006)
# By turns: a commit after every part or so, so that kills meet commits, and one at the end, so that they meet parts.
COMMIT_SECONDS = (0.05, 60)
# A suite whose kills all come too early would pass by itself: so many have to hit every state.
LEAST = {"nothing": 3, "plan only": 5, "some parts": 30, "committed in this trial": 30, "temporary file left": 3}


def measure(root: Path, kills: int, seed: int = 0) -> dict[str, Any]:
    """States that killed runs reached, and violations of one row a file."""
    labelled = write_labelled(root / "labelled", {"down": 80, "round": 40, "side": 30})
    bundle = train_bundle(labelled, Workspace.open(root / "workspace"), "shapes")
    return kill_often(Case(write_inbox(root / "inbox", FILES, damaged=True), bundle, root / "out"), kills, seed)


def kill_often(case: Case, kills: int, seed: int = 0) -> dict[str, Any]:
    """The same, of a case: its folder gets late files, its output is followed by others beside it."""
    rng = np.random.default_rng(seed)
    quiet = case._replace(out=case.out.parent / "quiet")
    length_s = _length_s(quiet)
    reference, states, violations = quiet.rows(), Counter[str](), list[str]()
    trials = ended_before = late = 0
    while sum(states[name] for name in ("nothing", "plan only", "some parts", "committed in this trial")) < kills:
        if trials % TRIALS_AN_OUTPUT == 0:
            case = case._replace(out=case.out.parent / f"out-{trials}")
        if trials % 2:
            late += 1
            _add_late(case, reference, f"late-{late}.png")
        commit_seconds = COMMIT_SECONDS[trials // 2 % 2]
        was_killed, reached = _trial(case, float(rng.uniform(0, 1.1 * length_s)), commit_seconds)
        trials += 1
        ended_before += not was_killed
        states.update(reached if was_killed else [])
        violations += case.violations(reference)
        if trials % TRIALS_AN_OUTPUT == 0:
            case.finish()
            violations += case.incomplete(reference)
    return {
        "trials": trials,
        "killed": trials - ended_before,
        "ended_before_their_kill": ended_before,
        "states": dict(sorted(states.items())),
        "least": LEAST,
        "violations": len(violations),
        "first_violations": violations[:5],
    }


def _length_s(quiet: Case) -> float:
    """How long an undisturbed run takes from the moment that it is ready."""
    process = quiet.start(*SLOWLY)
    started = time.monotonic()
    code, said = ended(process)
    if code:
        raise RuntimeError(said)
    return time.monotonic() - started


def _add_late(case: Case, reference: Rows, name: str) -> None:
    os.link(case.inbox / "picture-0001.png", case.inbox / name)
    reference[name] = reference["picture-0001.png"]


def _trial(case: Case, seconds: float, commit_seconds: float) -> tuple[bool, list[str]]:
    """Whether the run was killed, and what it had reached then."""
    before = len(OutputStore(case.out).commits())
    known = {plan.plan_id for plan in OutputStore(case.out).plans.all()}
    parts_before = len(list(case.out.rglob("part-*.parquet")))
    process = case.start(*SLOWLY, "--commit-seconds", commit_seconds)
    time.sleep(seconds)
    process.kill()
    code, _ = ended(process)
    store = OutputStore(case.out)
    found = ["temporary file left"] if list(case.out.rglob(f"{TEMPORARY_PREFIX}*")) else []
    if len(store.commits()) > before:
        found.append("committed in this trial")
    elif len(list(case.out.rglob("part-*.parquet"))) > parts_before:
        found.append("some parts")
    else:
        found.append("plan only" if {plan.plan_id for plan in store.plans.all()} - known else "nothing")
    return code != 0, found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=KILLS)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        figures = measure(Path(place), given.kills)
    short = {name: least for name, least in LEAST.items() if figures["states"].get(name, 0) < least}
    sys.stdout.write(f"{write_result('scoring_kills', given.kills, figures)}\n")
    if figures["violations"] or (short and given.kills >= KILLS):
        sys.exit(f"{figures['violations']} violations; states reached too seldom: {short}")
