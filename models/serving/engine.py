"""Run to completion: every thread takes a file from reading to its answer, and nothing waits in between.

No queue of pictures, no hand-over: memory is one picture a thread and the answers of the shards under way.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from models.serving.picture_scorer import Scored
from models.serving.plans import Plan

Row = dict[str, Any]
# What a thread calls for one file: its slot, the shard, and the position in it.
ScoreFile = Callable[[int, "Shard", int], Scored]
# Shards of which some files are under way or whose rows wait to be written.
_OPEN_SHARDS = 3


class Shard(NamedTuple):
    """Files of a plan that are written together."""

    plan: Plan
    number: int
    first: int
    rows: list[Row]


class _Open:
    """A shard whose files are under way."""

    def __init__(self, shard: Shard) -> None:
        self.shard = shard
        self.found: list[Scored | None] = [None] * len(shard.rows)
        self.begun = 0
        self.ended = 0

    @property
    def is_done(self) -> bool:
        return self.ended == len(self.found)


class Engine:
    """Threads over a stream of shards.

    The stream is drawn from by the threads themselves, one at a time: it may list folders and write plans.
    """

    def __init__(self, score_file: ScoreFile, threads: int) -> None:
        self._score_file, self._count = score_file, threads
        self._changed = threading.Condition()
        self._open: deque[_Open] = deque()
        self._error: BaseException | None = None
        self._is_over = self._is_stopped = self._is_drawing = False
        self._shards: Iterator[Shard] = iter(())

    def run(self, shards: Iterator[Shard], check: Callable[[], None]) -> Iterator[tuple[Shard, list[Scored]]]:
        """Finished shards with what became of their files, in order.

        Args:
            shards: drawn from inside the threads.
            check: called a few times a second; what it raises ends the run.

        Raises:
            BaseException: what `shards`, a file or `check` raised, once the files under way are done.
        """
        self._shards, self._open, self._error = shards, deque(), None
        self._is_over = self._is_stopped = False
        threads = [threading.Thread(target=self._work, args=(slot,), daemon=True) for slot in range(self._count)]
        for thread in threads:
            thread.start()
        try:
            while (done := self._next_done(check)) is not None:
                yield done.shard, [scored for scored in done.found if scored is not None]
        finally:
            with self._changed:
                self._is_stopped = True
                self._changed.notify_all()
            for thread in threads:
                thread.join()

    def _next_done(self, check: Callable[[], None]) -> _Open | None:
        """The oldest shard once it is done; None where there is no other."""
        with self._changed:
            while True:
                check()
                if self._error is not None:
                    raise self._error
                if self._open and self._open[0].is_done:
                    self._changed.notify_all()
                    return self._open.popleft()
                if self._is_over and not self._open:
                    return None
                self._changed.wait(0.2)

    def _work(self, slot: int) -> None:
        try:
            while (taken := self._take()) is not None:
                opened, position = taken
                scored = self._score_file(slot, opened.shard, position)
                with self._changed:
                    opened.found[position] = scored
                    opened.ended += 1
                    if opened.is_done:
                        self._changed.notify_all()
        # It is raised again where the shards are asked for.
        except BaseException as error:
            with self._changed:
                self._error = self._error or error
                self._is_stopped = True
                self._changed.notify_all()

    def _take(self) -> tuple[_Open, int] | None:
        """The next file; draws the next shard where there is none, and waits where too many are open."""
        with self._changed:
            while True:
                if self._is_stopped:
                    return None
                newest = self._open[-1] if self._open else None
                if newest is not None and newest.begun < len(newest.found):
                    newest.begun += 1
                    return newest, newest.begun - 1
                if self._is_over:
                    return None
                if self._is_drawing or len(self._open) >= _OPEN_SHARDS:
                    self._changed.wait()
                    continue
                self._draw()

    def _draw(self) -> None:
        """Opens the next shard of the stream; the lock is free while the stream works."""
        self._is_drawing = True
        self._changed.release()
        try:
            shard = next(self._shards, None)
        finally:
            self._changed.acquire()
            self._is_drawing = False
            self._changed.notify_all()
        if shard is None:
            self._is_over = True
        else:
            self._open.append(_Open(shard))
