"""The files of a folder, one look at each: those with a row, those without, and those still being written."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from models.data.listing import BATCH_ROWS, LISTING, listing_batches
from models.serving.commit import OutputStore
from models.serving.known_files import KnownFiles, name_keys

# Files of one plan: in a large folder the first plan is small, so that its rows come soon; later ones are large.
_FIRST_PLAN_ROWS, _LEAST_PLAN_ROWS = 64, 2000
_LARGEST_PLAN_SHARDS = 4


class FolderFiles:
    """One walk through a folder, plan by plan, in bounded memory but for 16 bytes a file.

    Attributes:
        names: key of the name of every file that was seen, for counting.
        fresh: files without a row, so far.
        deferred: files that were too young.
        settled_at: when the youngest of them is old enough, as seconds of the clock; 0 where there is none.
    """

    def __init__(self, folder: Path, output: tuple[OutputStore, str], shard_rows: int) -> None:
        self._folder, self._output, self._shard_rows = folder, output, shard_rows
        self.names = bytearray()
        self.deferred = self.fresh = 0
        self.settled_at = 0.0

    def new_files(self, clock: Callable[[], datetime], settle_seconds: float) -> Iterator[tuple[pa.Table, KnownFiles]]:
        """Tables LISTING of files without a row, each for one plan, with the files that had one before this walk.

        Args:
            clock: tells the time.
            settle_seconds: a file written less than so long ago is too young; one from the far future is not.
        """
        self.names.clear()
        self.deferred, self.fresh, self.settled_at = 0, 0, 0.0
        waiting, shards, known = LISTING.empty_table(), 1, KnownFiles(*self._output)
        for batch in listing_batches(self._folder):
            fresh = self._without_row(pa.Table.from_batches([batch]), known, (clock(), settle_seconds))
            is_first, self.fresh = self.fresh == 0, self.fresh + fresh.num_rows
            waiting = pa.concat_tables([waiting, fresh])
            if is_first and fresh.num_rows == BATCH_ROWS:
                yield waiting.slice(0, _FIRST_PLAN_ROWS), known
                waiting = waiting.slice(_FIRST_PLAN_ROWS)
            while waiting.num_rows >= (rows := max(shards * self._shard_rows, _LEAST_PLAN_ROWS)):
                yield waiting.slice(0, rows), known
                waiting, shards = waiting.slice(rows), min(2 * shards, _LARGEST_PLAN_SHARDS)
        if waiting.num_rows:
            yield waiting, known

    def _without_row(self, listed: pa.Table, known: KnownFiles, settled: tuple[datetime, float]) -> pa.Table:
        for key in name_keys(listed):
            self.names += key
        fresh = listed.filter(pa.array(~known.is_known(listed)))
        now, settle_seconds = settled
        now_ns, window_ns = int(now.timestamp() * 1e9), int(settle_seconds * 1e9)
        age_ns = pc.subtract(pa.scalar(now_ns, pa.int64()), fresh["mtime_ns"])
        is_young = pc.and_(pc.less(age_ns, pa.scalar(window_ns)), pc.greater_equal(age_ns, pa.scalar(-window_ns)))
        is_young = pc.and_(is_young, pc.is_null(fresh["status"]))
        young = fresh.filter(is_young)
        if young.num_rows:
            self.deferred += young.num_rows
            newest_ns = pc.max(young["mtime_ns"]).as_py()
            self.settled_at = max(self.settled_at, newest_ns / 1e9 + settle_seconds)
        return fresh.filter(pc.invert(is_young))


def wait_until(settled_at: float, clock: Callable[[], datetime], check: Callable[[], None]) -> None:
    """Returns once the clock has passed a time, asking `check` meanwhile."""
    while (left_s := settled_at - clock().timestamp()) >= 0:
        check()
        time.sleep(min(left_s + 0.01, 0.2))
