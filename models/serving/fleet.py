"""Several processes that score, where one would be held up by itself: each has its own cores and shards.

Python runs one thread's own steps at a time; from about 16 cores on that is what a single process waits for.
"""

from __future__ import annotations

import json
import logging
import os
import selectors
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import IO, Any

import models
from models.artifacts.durable import NO_LOCK
from models.errors import MachineError, SortlineError
from models.parallel import usable_cores
from models.serving.commit import OutputStore
from models.serving.commit_log import Part
from models.serving.engine import Shard
from models.serving.fleet_worker import READY
from models.serving.session import Provider
from models.serving.shard_job import ShardJob
from models.serving.shard_writer import Work

CORES_A_PROCESS = 16
# One shard under way and the next ones at hand, so that no thread waits for news.
_TOLD_SHARDS = 2
_DEATHS = 3
_log = logging.getLogger(__name__)


class WorkerFailed(SortlineError):
    """One of several processes refused to go on; the exit code is that of its own error."""

    def __init__(self, sentence: str, exit_code: int) -> None:
        self.exit_code = exit_code
        Exception.__init__(self, sentence)


def process_count(processes: int, threads: int) -> int:
    """Processes to score with; 0 asks for one for every 16 threads."""
    return processes or -(-(threads or usable_cores()) // CORES_A_PROCESS)


class Fleet:
    """Processes that score shards side by side."""

    def __init__(self, work: Work, processes: int, lock: int) -> None:
        self._work, self._lock, self._store = work, lock, OutputStore(work.out)
        self._hands = _shared_out(sorted(os.sched_getaffinity(0)), processes)
        self._workers: list[_Worker] = []
        self._deaths = 0
        self.provider: Provider = "cpu"

    def __enter__(self) -> Fleet:
        try:
            for slot in range(len(self._hands)):
                self._workers.append(self._start(slot))
        except BaseException:
            self.__exit__()
            raise
        self.provider = self._workers[0].provider
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.kill()

    def parts(self, shards: Iterator[Shard], check: Callable[[], None]) -> Iterator[tuple[Shard, Part]]:
        """Finished shards with their parts, as they are finished.

        Raises:
            WorkerFailed: a process refused to go on.
            MachineError: processes die again and again.
        """
        left: deque[Shard] = deque()
        while True:
            check()
            for worker in self._workers:
                self._feed(worker, left, shards)
            if not any(worker.told for worker in self._workers):
                return
            for slot in self._ready():
                worker = self._workers[slot]
                shard = worker.finished()
                if shard is not None:
                    self._deaths = 0
                    yield shard, self._store.part(self._store.part_path(shard.plan, shard.number), shard.number)
                else:
                    left.extendleft(reversed(self._unfinished(worker)))
                    self._workers[slot] = self._start(slot)

    def _feed(self, worker: _Worker, left: deque[Shard], shards: Iterator[Shard]) -> None:
        while len(worker.told) < _TOLD_SHARDS:
            shard = left.popleft() if left else next(shards, None)
            if shard is None:
                return
            worker.tell(shard)

    def _ready(self) -> list[int]:
        """Workers that said something, or died; none after a moment without news."""
        with selectors.DefaultSelector() as selector:
            for slot, worker in enumerate(self._workers):
                selector.register(worker.answers, selectors.EVENT_READ, slot)
            return [key.data for key, _ in selector.select(0.2)]

    def _unfinished(self, dead: _Worker) -> list[Shard]:
        """The shards that a dead worker leaves; what it had written of them counts when it is found."""
        self._deaths += 1
        code = dead.kill()
        _log.warning("a scoring process ended with %s; its shards are scored again", code)
        if self._deaths >= _DEATHS:
            raise MachineError(
                f"scoring processes ended {self._deaths} times without finishing a shard, last with {code}",
                "a machine on which they live",
                "Look for a lack of memory, or set scoring.processes=1; finished parts are kept.",
            )
        return list(dead.told)

    def _start(self, slot: int) -> _Worker:
        cores = self._hands[slot]
        job = ShardJob.of(self._work, len(cores), slot)
        task = {"job": job.model_dump(mode="json"), "cores": cores}
        return _Worker(json.dumps(task), self._lock)


class _Worker:
    """One process, and the shards that it was told of and has not finished."""

    def __init__(self, task: str, lock: int) -> None:
        root = str(Path(models.__file__).parents[1])
        search = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
        self.told: deque[Shard] = deque()
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the worker
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "models.serving.fleet_worker", task],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env={**os.environ, "PYTHONPATH": search},
            pass_fds=() if lock == NO_LOCK else (lock,),
            bufsize=0,  # a line that waited in a buffer would not be seen by the selector
        )
        if self._process.stdin is None or self._process.stdout is None:
            raise MachineError("a process without pipes", "one with", "Run sortline doctor.")
        self._input, self.answers = self._process.stdin, self._process.stdout
        try:
            self.provider = self._started()
        except BaseException:
            self.kill()
            raise

    def _started(self) -> Provider:
        """What runs its model, once it does."""
        said = self._answer()
        if said is None or said[0] != READY:
            raise MachineError(
                f"a scoring process does not start: {self._last_words()}",
                "a Python that runs Sortline",
                "Run sortline doctor.",
            )
        provider: Provider = said[1]
        return provider

    def tell(self, shard: Shard) -> None:
        """Has it score a shard; where it died, that is found when it is asked."""
        self.told.append(shard)
        try:
            self._input.write(json.dumps([shard.plan.plan_id, shard.number]).encode("ascii") + b"\n")
            self._input.flush()
        except BrokenPipeError:
            return

    def finished(self) -> Shard | None:
        """The shard that it has finished; None where it died.

        Raises:
            WorkerFailed: it refused to go on.
        """
        said = self._answer()
        return None if said is None else self.told.popleft()

    def kill(self) -> int:
        """Ends it; what it ended with."""
        self._process.kill()
        code = self._process.wait()
        for pipe in (self._input, self.answers, self._errors):
            try:
                pipe.close()
            except BrokenPipeError:
                continue
        return code

    def _answer(self) -> list[Any] | None:
        line = self.answers.readline()
        if not line.endswith(b"\n"):
            return None
        said: list[Any] = json.loads(line)
        if said[0] == "error":
            raise WorkerFailed(said[1], said[2])
        return said

    def _last_words(self) -> str:
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").split("\n")
        return next((line for line in reversed(lines) if line.strip()), "it said nothing")


def _shared_out(cores: Sequence[int], processes: int) -> list[list[int]]:
    """Neighbouring cores for each process: they share caches and memory; with fewer cores, one each by turns."""
    if processes >= len(cores):
        return [[cores[k % len(cores)]] for k in range(processes)]
    ends = [len(cores) * k // processes for k in range(processes + 1)]
    return [list(cores[start:end]) for start, end in pairwise(ends)]
