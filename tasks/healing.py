"""Which failures are worth another attempt."""

from __future__ import annotations

from typing import Any

from prefect.client.schemas.objects import State, TaskRun
from prefect.tasks import Task

from models.errors import MachineError, SortlineError, StorageError


async def can_heal(_: Task[..., Any], __: TaskRun, state: State[Any]) -> bool:
    """Whether what went wrong may go right the next time: a machine or a store can heal, a broken bundle cannot."""
    error = await state.aresult(raise_on_failure=False)
    return not isinstance(error, SortlineError) or isinstance(error, (StorageError, MachineError))
