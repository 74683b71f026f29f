"""Work spread over the cores this process may use, in order and in bounded memory."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
OnProgress = Callable[[int, int], None]
# From the name of a stage to where its progress goes.
ProgressSink = Callable[[str, int, int], None]


def no_progress(done: int, total: int) -> None:
    """Ignores progress."""


def shifted(on_progress: OnProgress, before: int, total: int) -> OnProgress:
    """Progress of one part as progress of the whole, of which `before` are done."""
    return lambda done, _: on_progress(before + done, total)


def usable_cores() -> int:
    """Cores this process may run on."""
    return len(os.sched_getaffinity(0))


def map_in_threads(
    function: Callable[[Item], Result], items: Iterable[Item], *, threads: int | None = None
) -> Iterator[Result]:
    """Results of `function` in the order of `items`.

    At most 64 items a thread are under way, so memory does not grow with the number of items. Interrupted, it
    finishes only the items already begun.
    """
    count = threads or usable_cores()
    pool = ThreadPoolExecutor(count)
    waiting: deque[Future[Result]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) >= count * 64:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
