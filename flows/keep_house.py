"""Upkeep of outputs, as a schedule does it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from prefect import flow
from prefect.runtime import flow_run
from pydantic import Field

from flows.places import require_allowed
from tasks.keep_house import keep_house as keep_house_of


@flow(name="keep-house", persist_result=False, timeout_seconds=6 * 3600)
def keep_house(outs: list[str], keep_days: Annotated[float, Field(ge=0)] = 90) -> int:
    """Number of files of predictions that are left.

    Args:
        outs: Folders or addresses of predictions.
        keep_days: Rows that have a newer one of the same file go once they are older than so many days.
    """
    require_allowed(*outs)
    return sum(keep_house_of(out, keep_days, datetime.now(UTC), str(flow_run.id))[0].parts_after for out in outs)
