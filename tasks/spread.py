"""Shards spread over a task runner: what is submitted, what comes back, and what became of the rest."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import islice
from typing import Any, NamedTuple

from prefect.futures import PrefectFuture

from models.errors import MachineError
from models.serving.commit import OutputStore
from models.serving.commit_log import Part
from models.serving.engine import Shard
from models.serving.session import Provider
from models.serving.shard_job import ShardJob
from models.serving.shard_writer import OpenWriter, PartWriter, Work
from tasks.score_shards import score_shards
from tasks.spread_settings import SpreadSettings

_log = logging.getLogger(__name__)
# Tasks at a worker and waiting for it, so that none of them has to wait for news.
_TASKS_A_WORKER = 2
_LOOK_S = 0.2


class _Sent(NamedTuple):
    """A task that was submitted, and its shards."""

    future: PrefectFuture[Any]
    shards: list[Shard]


def spread_over(settings: SpreadSettings) -> OpenWriter:
    """What opens a writer that submits tasks to the task runner of the flow run that calls it."""

    def opened(work: Work, until_end: ExitStack) -> PartWriter:
        writer = TaskWriter(work, settings)
        until_end.callback(writer.cancel)
        return writer

    return opened


class TaskWriter:
    """Shards to parts, by tasks."""

    def __init__(self, work: Work, settings: SpreadSettings) -> None:
        self.provider: Provider = "cpu"
        self._work, self._settings, self._store = work, settings, OutputStore(work.out)
        self._window = settings.workers * _TASKS_A_WORKER
        self._sent: deque[_Sent] = deque()
        self._submitted = self._lost = 0

    def parts(self, shards: Iterator[Shard], check: Callable[[], None]) -> Iterator[tuple[Shard, Part]]:
        """Finished shards with their parts, task after task.

        Raises:
            MachineError: too many tasks failed; parts of the others are there.
        """
        before = self._submitted, self._lost
        while True:
            while len(self._sent) < self._window and (group := list(islice(shards, self._settings.task_shards))):
                self._submit(group)
            if not self._sent:
                break
            check()
            yield from self._collected()
        self._require_enough(self._submitted - before[0], self._lost - before[1])

    def cancel(self) -> None:
        """Forgets what was submitted; tasks that run end by themselves, and their parts are found."""
        self._sent.clear()

    def _submit(self, group: list[Shard]) -> None:
        job = ShardJob.of(self._work, self._settings.threads, self._submitted % self._window)
        names = [(shard.plan.plan_id, shard.number) for shard in group]
        self._sent.append(_Sent(score_shards.submit(job, names), group))
        self._submitted += 1

    def _collected(self) -> Iterator[tuple[Shard, Part]]:
        """Parts of the oldest task, where it has ended."""
        sent = self._sent[0]
        try:
            found = sent.future.result(timeout=_LOOK_S, raise_on_failure=False)
        except TimeoutError:
            return
        # A runner that lost a task raises whatever it knows.
        except Exception as error:
            found = error
        self._sent.popleft()
        if isinstance(found, BaseException):
            self._lost += 1
            _log.warning("a task with %d shards failed: %s", len(sent.shards), found)
            return
        for shard in sent.shards:
            yield shard, self._store.part(self._store.part_path(shard.plan, shard.number), shard.number)

    def _require_enough(self, submitted: int, lost: int) -> None:
        share = 1 - lost / submitted if submitted else 1.0
        if share < self._settings.min_success_ratio:
            raise MachineError(
                f"{lost} of {submitted} tasks failed; the parts of the others are there",
                f"a share of {self._settings.min_success_ratio:g} that succeeds, by spread.min_success_ratio",
                "Look at the failed task runs, and run the same command again: it goes on from there.",
            )
