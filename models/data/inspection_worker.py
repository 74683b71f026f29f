"""The process in which pictures are decoded for a scan: `python -m models.data.inspection_worker`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from models.data.inspection import Request, inspect_files
from models.data.worker_loop import serve


def inspect(task: dict[str, Any], limits: Any, requests: list[Request], before_each: Callable[[], None]) -> list[Any]:
    """One inspection a file."""
    return list(inspect_files(task["folder"], requests, limits, before_each))


if __name__ == "__main__":
    serve(inspect)
