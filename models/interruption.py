"""A polite end: SIGTERM is remembered, so that what is under way can be saved before the process stops."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from models.errors import TrainingStopped
from models.parallel import OnProgress, no_progress


class StopRequest:
    """Whether somebody asked this process to stop."""

    def __init__(self) -> None:
        self.is_made = False

    def make(self, _signal: int = 0, _frame: FrameType | None = None) -> None:
        """Remembers the wish."""
        self.is_made = True

    def check(self) -> None:
        """Ends what can be begun again at no great loss.

        Raises:
            TrainingStopped: the wish was made.
        """
        if self.is_made:
            raise TrainingStopped(
                "training was asked to stop, and what it had computed is kept",
                "it to go on some time",
                "Run the same command again: it goes on from there.",
            )

    def guarded(self, on_progress: OnProgress = no_progress) -> OnProgress:
        """Progress that ends with `check`."""

        def told(done: int, total: int) -> None:
            on_progress(done, total)
            self.check()

        return told


@contextmanager
def stop_on_signal() -> Iterator[StopRequest]:
    """A request that SIGTERM makes inside the block; outside the main thread Python allows no handler.

    Another SIGTERM after the first one does nothing more: the state is being saved.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before = signal.signal(signal.SIGTERM, request.make)
    try:
        yield request
    finally:
        signal.signal(signal.SIGTERM, before)
