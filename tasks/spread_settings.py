"""Whether and how scoring is spread over a task runner of Prefect."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from models.parallel import usable_cores
from models.settings import Settings


class SpreadSettings(Settings):
    """Whether and how scoring is spread over a task runner of Prefect."""

    runner: Literal["none", "threads", "dask", "ray"] = Field(
        default="none",
        title="Task runner",
        description="none: this process does it all. dask and ray need their extras.",
    )
    workers: int = Field(default=2, ge=1, le=1000, description="Tasks that run side by side.", title="Workers")
    address: str = Field(
        default="", title="Address", description="Of a cluster that runs already; empty: one of this machine's own."
    )
    task_shards: int = Field(
        default=5,
        ge=1,
        le=1000,
        title="Shards a task",
        description="A task should take one to five minutes; scoring.shard_rows files are a shard.",
    )
    min_success_ratio: float = Field(
        default=1.0,
        ge=0,
        le=1,
        title="Least success",
        description="The run fails where a smaller share of its tasks succeeds; what is lost, the next run scores.",
    )

    @property
    def threads(self) -> int:
        """Threads of one task: its share of this machine's cores; at another machine all that it has."""
        return 0 if self.address else max(1, usable_cores() // self.workers)
