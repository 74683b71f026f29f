"""Scores some shards of frozen plans: the unit that a task runner spreads over threads, processes or machines."""

from __future__ import annotations

from typing import Any

from prefect import task
from prefect.client.schemas.objects import State, TaskRun
from prefect.tasks import Task

from models.errors import MachineError, SortlineError, StorageError
from models.serving.shard_job import ShardJob, ShardName, write_shards


async def can_heal(_: Task[..., Any], __: TaskRun, state: State[Any]) -> bool:
    """Whether what went wrong may go right the next time: a machine or a store can heal, a broken bundle cannot."""
    error = await state.aresult(raise_on_failure=False)
    return not isinstance(error, SortlineError) or isinstance(error, (StorageError, MachineError))


# Not cached: a part that is there is left alone, which is what an attempt before has done.
@task(name="score-shards", retries=2, retry_delay_seconds=[1, 10], retry_condition_fn=can_heal, persist_result=False)
def score_shards(job: ShardJob, names: list[ShardName]) -> int:
    """Number of shards that this attempt scored."""
    return write_shards(job, names)
