"""One of several processes that score: `python -m models.serving.fleet_worker`, told by lines of JSON.

It ends with the process that started it. It also holds that one's lock on the output: as long as one of them lives, no
other run can begin.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from models.artifacts.places import place_of
from models.clock import utc_now
from models.errors import ArtifactChanged, SortlineError
from models.serving.bundle import read_bundle
from models.serving.commit import OutputStore
from models.serving.engine import Shard
from models.serving.scoring_settings import ScoringSettings
from models.serving.shard_writer import ThreadWriter, Work

READY = "ready"
_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG


def main() -> None:
    """Scores the shards that it is told of until there are no more."""
    ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
    for ignored in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ignored, signal.SIG_IGN)  # for the parent, which then ends this process
    task = json.loads(sys.argv[1])
    os.sched_setaffinity(0, task["cores"])
    answers = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(2, 1)  # native code that prints must not write into the answers
    try:
        with ExitStack() as until_end:
            writer = ThreadWriter.open(_work(task), until_end)
            _say(answers, [READY, writer.provider])
            for shard, part in writer.parts(_told_shards(OutputStore(place_of(task["out"]))), _nothing):
                _say(answers, [shard.plan.plan_id, shard.number, part.rows])
    except SortlineError as error:
        _say(answers, ["error", str(error), error.exit_code])


def _work(task: dict[str, Any]) -> Work:
    settings = ScoringSettings.model_validate(task["settings"])
    bundle = read_bundle(Path(task["bundle"]), settings.signature)
    if bundle.sha256 != task["bundle_sha256"]:
        raise ArtifactChanged(
            f"the bundle in {task['bundle']} was replaced", "the one that the run began with", "Run it again."
        )
    return Work(
        place_of(task["folder"]), bundle, place_of(task["out"]), settings, task["run_id"], utc_now, task["slot"]
    )


def _told_shards(store: OutputStore) -> Iterator[Shard]:
    """The shards that the lines of the input name."""
    plan_id, plan, inputs = "", None, None
    for line in sys.stdin.buffer:
        told, number = json.loads(line)
        if plan is None or inputs is None or told != plan_id:
            plan_id, plan, inputs = told, store.plans.get(told), store.plans.inputs(told)
        first, count = plan.slice_of(number)
        yield Shard(plan, number, first, inputs.slice(first, count).to_pylist())


def _nothing() -> None:
    return


def _say(answers: Any, value: object) -> None:
    answers.write(json.dumps(value) + "\n")
    answers.flush()


if __name__ == "__main__":
    main()
