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
from contextlib import ExitStack
from typing import Any

from models.artifacts.places import place_of
from models.errors import SortlineError
from models.serving.commit import OutputStore
from models.serving.shard_job import ShardJob, named_shards
from models.serving.shard_writer import ThreadWriter

READY = "ready"
_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG


def main() -> None:
    """Scores the shards that it is told of until there are no more."""
    ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
    for ignored in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ignored, signal.SIG_IGN)  # for the parent, which then ends this process
    task = json.loads(sys.argv[1])
    os.sched_setaffinity(0, task["cores"])
    job = ShardJob.model_validate(task["job"])
    answers = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(2, 1)  # native code that prints must not write into the answers
    try:
        with ExitStack() as until_end:
            writer = ThreadWriter.open(job.work(), until_end)
            _say(answers, [READY, writer.provider])
            shards = named_shards(OutputStore(place_of(job.out)), (json.loads(line) for line in sys.stdin.buffer))
            for shard, part in writer.parts(shards, _nothing):
                _say(answers, [shard.plan.plan_id, shard.number, part.rows])
    except SortlineError as error:
        _say(answers, ["error", str(error), error.exit_code])


def _nothing() -> None:
    return


def _say(answers: Any, value: object) -> None:
    answers.write(json.dumps(value) + "\n")
    answers.flush()


if __name__ == "__main__":
    main()
