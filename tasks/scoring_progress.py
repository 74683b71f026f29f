"""Tells how scoring goes: to whoever has set up a sink, and as a share done in the Prefect UI."""

from __future__ import annotations

import logging
import math
import time
from typing import cast
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact

from models.parallel import OnProgress
from tasks.progress import is_in_run, progress_of

SECONDS_BETWEEN_CALLS = 5.0
_log = logging.getLogger(__name__)


def scoring_progress(name: str) -> OnProgress:
    """A callback that reports (done, total) files; the server hears of it every few seconds, and at the end."""
    tell = progress_of("score")
    if not is_in_run():
        return tell
    board = _Board(f"scoring-{name}")

    def told(done: int, total: int) -> None:
        tell(done, total)
        board.show(done, total)

    return told


class _Board:
    """The share done of one run."""

    def __init__(self, key: str) -> None:
        self._key = key
        self._artifact: UUID | None = None
        self._called_at = -math.inf
        self._is_refused = False

    def show(self, done: int, total: int) -> None:
        """Tells the server, unless it heard a moment ago or takes nothing."""
        is_over = done >= total
        if self._is_refused or (not is_over and time.monotonic() - self._called_at < SECONDS_BETWEEN_CALLS):
            return
        self._called_at = time.monotonic()
        percent = 100.0 if is_over else round(100 * done / total, 1)
        try:
            self._put(percent)
        except Exception as error:  # whatever a server or its client may say: scoring must not fail for it
            _log.warning("Prefect takes no progress of this run, which goes on: %s", error)
            self._is_refused = True

    def _put(self, percent: float) -> None:
        if self._artifact:
            update_progress_artifact(self._artifact, percent)
            return
        made = create_progress_artifact(percent, self._key, "Files of the plans made so far")
        self._artifact = cast("UUID", made)  # a coroutine only where an event loop runs, and scoring runs in none
