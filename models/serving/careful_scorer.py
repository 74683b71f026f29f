"""Scoring a file so that no file can hurt another: odd ones are decoded in a process of their own."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from models.data.isolated_pictures import PicturePool
from models.data.isolation import IsolationSettings
from models.data.limits import DecodeLimits
from models.data.listing import file_name
from models.data.picture_source import PictureSource, picture_source
from models.errors import UnreadableImage
from models.serving.engine import Shard
from models.serving.in_flight import InFlight, Place, in_flight, suspects
from models.serving.picture_scorer import PictureScorer, Scored

# What is decoded in the threads: at 4 bytes a pixel, and twice while it is turned or resized, 200 MB a thread.
PLAIN_PIXELS, PLAIN_BYTES = 25_000_000, 64_000_000
# Verdicts of a thread that a worker process confirms, or does not.
_ODD = frozenset({"truncated_or_corrupt", "too_many_pixels", "too_many_bytes", "too_much_memory"})
_log = logging.getLogger(__name__)


def plain_limits(limits: DecodeLimits) -> DecodeLimits:
    """What is decoded in the scoring process itself."""
    return DecodeLimits(max_bytes=min(limits.max_bytes, PLAIN_BYTES), max_pixels=min(limits.max_pixels, PLAIN_PIXELS))


class Guard(NamedTuple):
    """What files are protected with, and from.

    Attributes:
        limits: what one file may cost.
        isolation: of the worker processes.
        threads: that score side by side.
        process: number of this process among those that score.
    """

    limits: DecodeLimits
    isolation: IsolationSettings
    threads: int
    process: int = 0


class CarefulScorer:
    """Files of shards to what became of them."""

    def __init__(self, source: PictureSource, scorer: PictureScorer, pool: PicturePool, flights: InFlight) -> None:
        self._source, self._scorer, self._pool, self._flights = source, scorer, pool, flights
        self._suspects: frozenset[Place] = frozenset()
        self._max_bytes = 0

    @classmethod
    @contextmanager
    def open(cls, folder: Path, out: Path, scorer: PictureScorer, guard: Guard) -> Iterator[CarefulScorer]:
        """A scorer whose worker processes and slots end with the block.

        Args:
            folder: that the files lie in.
            out: the output, which knows the files at which an earlier run died.
            scorer: for plain files.
            guard: what files are protected with.
        """
        suspected = suspects(out)
        isolation = guard.isolation.model_copy(update={"workers": guard.isolation.workers or guard.threads})
        with (
            picture_source(folder) as source,
            PicturePool(source.disk, guard.limits, isolation, scorer.card.preprocess) as pool,
            in_flight(out, guard.process) as flights,
        ):
            careful = cls(source, scorer, pool, flights)
            careful._suspects, careful._max_bytes = suspected, guard.limits.max_bytes
            yield careful

    def score(self, slot: int, shard: Shard, position: int) -> Scored:
        """What becomes of one file of a shard.

        Args:
            slot: number of the thread.
            shard: that the file belongs to.
            position: of the file in the shard.
        """
        row, place = shard.rows[position], (shard.plan.plan_id, shard.first + position)
        if row["status"] is not None:
            return Scored.failed(row["status"], row["reason"])
        if place in self._suspects:
            return self._isolated(row)
        self._flights.begin(slot, place)
        try:
            scored = self._scorer.score_read(partial(self._source.read, row), file_name(row))
        except MemoryError:
            return self._isolated(row)
        finally:
            self._flights.end(slot)
        return self._isolated(row) if scored.reason in _ODD else scored

    def _isolated(self, row: dict[str, Any]) -> Scored:
        """What becomes of a file that is decoded in a worker process."""
        try:
            with self._source.on_disk(row, self._max_bytes) as request:
                (found,) = self._pool.ask([request])
        except UnreadableImage as error:
            return Scored.failed(error.status, error.reason)
        digest, size_bytes = found.sha256, found.size_bytes
        if found.pixels is None:
            return Scored(found.status, found.reason, digest, size_bytes, None, None)
        try:
            answers = self._scorer.answers(found.pixels)
        except MemoryError:
            raise
        # One picture that the graph trips over must not end the night.
        except Exception:
            _log.exception("inference failed on %r", file_name(row))
            return Scored("crashed", "inference_failed", digest, size_bytes, None, None)
        return Scored("ok", None, digest, size_bytes, found.look, answers)
