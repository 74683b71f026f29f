"""Shards of frozen plans as work that any process can be told of, on this machine or another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from models.artifacts.places import place_of
from models.clock import utc_now
from models.errors import ArtifactChanged
from models.serving.bundle import read_bundle
from models.serving.commit import OutputStore
from models.serving.engine import Shard
from models.serving.scoring_settings import ScoringSettings
from models.serving.shard_writer import ThreadWriter, Work
from models.serving.site_file import read_site_file
from models.serving.sites import at_site

# Of a plan, and the number of a shard in it.
ShardName = tuple[str, int]


class ShardJob(BaseModel):
    """What is scored, by what, and where to, as text.

    Attributes:
        folder: path or address of the pictures.
        bundle: path of the bundle, which every machine has to see.
        site: path of the site file that it answers with; empty: none.
        site_sha256: of that file.
        out: path or address of the output.
        slot: number of the process among those that score side by side.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: str
    bundle: str
    bundle_sha256: str
    site: str = ""
    site_sha256: str = ""
    out: str
    settings: ScoringSettings
    run_id: str
    slot: int = 0

    @classmethod
    def of(cls, work: Work, threads: int, slot: int) -> ShardJob:
        """The job of one process with so many threads; 0: all cores that it may use."""
        site = work.bundle.site
        return cls(
            folder=str(work.folder),
            bundle=str(work.bundle.folder),
            bundle_sha256=work.bundle.sha256,
            site=str(site.path) if site else "",
            site_sha256=site.sha256 if site else "",
            out=str(work.out),
            settings=work.settings.model_copy(update={"threads": threads}),
            run_id=work.run_id,
            slot=slot,
        )

    def work(self) -> Work:
        """The same, opened.

        Raises:
            ArtifactChanged: the bundle is not the one that the run began with.
        """
        bundle = read_bundle(Path(self.bundle), self.settings.signature)
        if self.site:
            bundle = at_site(bundle, read_site_file(Path(self.site), self.site_sha256))
        if bundle.sha256 != self.bundle_sha256:
            raise ArtifactChanged(
                f"the bundle in {self.bundle} was replaced", "the one that the run began with", "Run it again."
            )
        places = place_of(self.folder), place_of(self.out)
        return Work(places[0], bundle, places[1], self.settings, self.run_id, utc_now, self.slot)


def write_shards(job: ShardJob, names: Sequence[ShardName]) -> int:
    """Number of shards that were scored; those whose part is there already, by an attempt before, are left alone."""
    store = OutputStore(place_of(job.out))
    missing = [name for name in names if not store.part_path(store.plans.get(name[0]), name[1]).exists()]
    if missing:
        with ExitStack() as until_end:
            for _ in ThreadWriter.open(job.work(), until_end).parts(named_shards(store, iter(missing)), _nothing):
                pass
    return len(missing)


def named_shards(store: OutputStore, names: Iterator[ShardName]) -> Iterator[Shard]:
    """Shards with their files, in the order that they are named."""
    plan_id, plan, inputs = "", None, None
    for told, number in names:
        if plan is None or inputs is None or told != plan_id:
            plan_id, plan, inputs = told, store.plans.get(told), store.plans.inputs(told)
        first, count = plan.slice_of(number)
        yield Shard(plan, number, first, inputs.slice(first, count).to_pylist())


def _nothing() -> None:
    return
