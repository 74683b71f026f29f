"""From shards to parts on disk, by the threads of this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import NamedTuple, Protocol

from models.parallel import usable_cores
from models.serving.bundle import Bundle
from models.serving.careful_scorer import CarefulScorer, Guard, plain_limits
from models.serving.class_prior import prior_shift
from models.serving.commit import OutputStore
from models.serving.commit_log import Part
from models.serving.engine import Engine, Shard
from models.serving.golden import check_golden
from models.serving.picture_scorer import PictureScorer
from models.serving.row_maker import RowMaker
from models.serving.scoring_settings import ScoringSettings
from models.serving.session import Provider, rows_a_call


class Work(NamedTuple):
    """What is scored, by what, and where to.

    Attributes:
        folder: that the files lie in, resolved.
        slot: number of the process among those that score.
        clock: tells when a shard was scored.
    """

    folder: Path
    bundle: Bundle
    out: Path
    settings: ScoringSettings
    run_id: str
    clock: Callable[[], datetime]
    slot: int = 0


class PartWriter(Protocol):
    """What turns shards into parts.

    Attributes:
        provider: what runs the model.
    """

    provider: Provider

    def parts(self, shards: Iterator[Shard], check: Callable[[], None]) -> Iterator[tuple[Shard, Part]]:
        """Finished shards with their parts, which are durable.

        Args:
            shards: drawn from as threads or processes get free.
            check: called a few times a second; what it raises ends the run.
        """


# Gives a writer for some work; what it holds is closed by the stack.
OpenWriter = Callable[[Work, ExitStack], PartWriter]


class ThreadWriter:
    """Threads of this process."""

    def __init__(self, work: Work, scorer: PictureScorer, engine: Engine) -> None:
        self.provider: Provider = scorer.provider
        self._store, self._engine = OutputStore(work.out), engine
        prior = prior_shift(work.bundle, work.settings.class_prior)
        site = work.bundle.site.name if work.bundle.site else None
        self._maker = RowMaker(scorer.card, work.bundle.sha256, site, prior, work.settings, work.run_id, work.clock)

    @classmethod
    def open(cls, work: Work, until_end: ExitStack) -> ThreadWriter:
        """A writer whose model has shown that it answers here as it was judged.

        Args:
            work: what is scored.
            until_end: holds what has to be closed.

        Raises:
            ArtifactChanged: the model does not run here, or answers otherwise.
        """
        settings = work.settings
        scorer = PictureScorer(work.bundle.onnx_bytes, plain_limits(settings.limits), settings.session)
        # Another decoder, instruction set or provider must not sort otherwise than what was judged.
        check_golden(work.bundle.golden, scorer)
        until_end.callback(scorer.close)
        # Threads whose picture is in a block only wait: there have to be more of them than a block has places.
        waiting = 0 if scorer.blocks is None else 2 * rows_a_call(settings.session, scorer.provider)
        threads = settings.threads or usable_cores() + waiting
        guard = Guard(settings.limits, settings.isolation, threads, work.slot)
        careful = until_end.enter_context(CarefulScorer.open(work.folder, work.out, scorer, guard))
        return cls(work, scorer, Engine(careful.score, threads))

    def parts(self, shards: Iterator[Shard], check: Callable[[], None]) -> Iterator[tuple[Shard, Part]]:
        """Finished shards with their parts, in order."""
        for shard, found in self._engine.run(shards, check):
            rows, unchanged = self._maker.table(shard, found)
            path = self._store.part_path(shard.plan, shard.number)
            self._store.write_part(path, rows, unchanged)
            yield shard, self._store.part(path, shard.number)
