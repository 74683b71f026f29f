"""Scores some shards of frozen plans: the unit that a task runner spreads over threads, processes or machines."""

from __future__ import annotations

from prefect import task

from models.serving.shard_job import ShardJob, ShardName, write_shards
from tasks.healing import can_heal


# Not cached: a part that is there is left alone, which is what an attempt before has done.
@task(name="score-shards", retries=2, retry_delay_seconds=[1, 10], retry_condition_fn=can_heal, persist_result=False)
def score_shards(job: ShardJob, names: list[ShardName]) -> int:
    """Number of shards that this attempt scored."""
    return write_shards(job, names)
