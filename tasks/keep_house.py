"""Upkeep of an output: small files become large ones, rows that nobody needs go."""

from __future__ import annotations

from datetime import datetime, timedelta

from prefect import task

from models.artifacts.places import place_of
from models.serving.commit_log import Deed
from models.serving.compaction import Compacted, compact
from models.serving.output_retention import Retired, retire
from models.serving.reader import open_output


@task(name="keep-house")
def keep_house(out: str, keep_days: float, now: datetime, run_id: str) -> tuple[Compacted, Retired]:
    """What was merged and what was removed; rows that have a newer one go once they are older than `keep_days`."""
    store, deed = open_output(place_of(out)), Deed(run_id, now.isoformat())
    retired = retire(store, deed, now - timedelta(days=keep_days))
    return compact(store, deed), retired
