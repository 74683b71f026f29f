"""Batch scoring of a folder: every file of a frozen plan gets exactly one row. Needs no torch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from models.artifacts.places import whole
from models.artifacts.records import ScoreSummary
from models.clock import Clock, utc_now
from models.data.listing import require_apart, safe_name
from models.errors import ScoringStopped, TooManyBadFiles
from models.interruption import StopRequest, stop_on_signal
from models.parallel import OnProgress, no_progress
from models.serving.autotune import tuned
from models.serving.bundle import Bundle
from models.serving.commit import OutputStore
from models.serving.committer import Committer, Committing
from models.serving.engine import Shard
from models.serving.fleet import Fleet, process_count
from models.serving.folder_counts import FolderCounts, count_folder
from models.serving.folder_files import FolderFiles, wait_until
from models.serving.known_files import KEY_BYTES
from models.serving.plan_desk import PlanDesk
from models.serving.plans import Plan
from models.serving.scoring_settings import ScoringSettings
from models.serving.session import SessionSettings
from models.serving.shard_writer import OpenWriter, PartWriter, ThreadWriter, Work

__all__ = ["ScoreJob", "ScoringSettings", "score_folder"]
# Measuring takes seconds; fewer files would not earn them back.
_TUNED_FROM_ROWS = 2000
_SHARE_FROM_FILES = 20


class ScoreJob(NamedTuple):
    """What is to be scored, by what, and where to; `tuning_dir` keeps what was measured of this machine."""

    folder: Path
    bundle: Bundle
    out: Path
    settings: ScoringSettings
    tuning_dir: Path | None = None


def score_folder(
    job: ScoreJob,
    run_id: str,
    clock: Clock = utc_now,
    on_progress: OnProgress = no_progress,
    open_writer: OpenWriter | None = None,
) -> ScoreSummary:
    """What the output holds after every file of the job's folder has its row.

    Files that already have a row from this bundle are left alone. Interrupted, the next call goes on where this
    one stopped.

    Args:
        job: what is scored.
        run_id: that rows and commits bear.
        clock: tells the time.
        on_progress: told how many files are done, of those planned so far.
        open_writer: gives what turns shards into parts; None: threads or processes of this machine.

    Raises:
        SettingsError: the output lies inside the folder, or holds the rows of another folder.
        OutputBusy: another run holds the output.
        StorageError: the output cannot be written; committed rows stay.
        ScoringStopped: SIGTERM came; finished parts are committed.
        TooManyBadFiles: more files than the settings allow cannot be scored; all have their row.
    """
    require_apart(job.folder, job.out)
    store = OutputStore(job.out)
    with store.hold() as lock, stop_on_signal() as stop, ExitStack() as until_end:
        committing = Committing(store.log.head(), job.bundle.card.name, run_id, "cpu", clock)
        run = _Run(job, store, committing, stop, _Held(lock, until_end, open_writer))
        run.desk.require_same_folder()
        run.desk.drop_others()
        # An open plan is finished first: what an interrupted run has scored is not scored again.
        run.score(run.desk.open_plans(), on_progress)
        run.score(run.new_plans(), on_progress)
        if run.files.deferred:
            wait_until(run.files.settled_at, clock, run.check)
            run.score(run.new_plans(), on_progress)
        counts = count_folder(store, job.bundle.sha256, run.files.names)
    summary = run.summary(counts)
    _require_within_budget(counts, job.settings)
    return summary


class _Held(NamedTuple):
    """What a run holds until its end: the lock's descriptor, what has to be closed, and what opens a writer."""

    lock: int
    until_end: ExitStack
    open_writer: OpenWriter | None


class _Run:
    """One call of `score_folder`.

    Attributes:
        desk: its plans.
        files: what the last walk through the folder saw.
    """

    def __init__(
        self, job: ScoreJob, store: OutputStore, committing: Committing, stop: StopRequest, held: _Held
    ) -> None:
        self.folder, self.job, self.store = whole(job.folder), job, store
        self.bundle, self.settings = job.bundle, job.settings
        self.committing, self.stop, self.held = committing, stop, held
        text, settings = safe_name(str(self.folder))[0], job.settings
        self.desk = PlanDesk(store, text, job.bundle.sha256, settings.rows_digest, settings.shard_rows)
        self.files = FolderFiles(self.folder, (store, job.bundle.sha256), settings.shard_rows)
        self.plan_ids: list[str] = []
        self.rows_scored = self.done = self.total = 0
        self.writer: tuple[PartWriter, Committer] | None = None

    def check(self) -> None:
        """Ends the run where somebody asked for it."""
        if self.stop.is_made:
            raise ScoringStopped(
                "scoring was asked to stop, and finished parts are kept",
                "it to go on some time",
                "Run the same command again: it goes on from there.",
            )

    def new_plans(self) -> Iterator[Plan]:
        """Plans of the files without a row, each frozen on disk before it is given."""
        for listed, known in self.files.new_files(self.committing.clock, self.settings.settle_seconds):
            yield self.desk.freeze(listed, known.known_digests(listed))

    def score(self, plans: Iterator[Plan], on_progress: OnProgress) -> None:
        """Scores the shards of some plans that are not there yet, and commits all of them."""
        first = next(plans, None)
        if first is None:
            return
        writer, committer = self._writer(max(first.rows, self.files.fresh))
        try:
            for shard, part in writer.parts(self._shards(first, plans, committer), self.check):
                committer.add(shard, part)
                self.rows_scored += part.rows
                self.done += part.files
                on_progress(self.done, self.total)
        except (ScoringStopped, KeyboardInterrupt):
            committer.commit_finished()
            raise
        committer.commit_finished()

    def summary(self, counts: FolderCounts) -> ScoreSummary:
        """What this run did and what the output now holds."""
        mine = [c for c in self.store.commits() if c.bundle_sha256 == self.bundle.sha256 and c.kind == "scored"]
        last = [commit for commit in mine if commit.run_id == mine[-1].run_id]
        elapsed_s = sum(commit.elapsed_s for commit in last)
        images = sum(commit.elapsed_s * commit.images_per_s for commit in last)
        return ScoreSummary(
            folder=self.desk.folder,
            out=str(self.store.out),
            model_name=self.bundle.card.name,
            bundle_sha256=self.bundle.sha256,
            plan_ids=tuple(self.plan_ids) or tuple(commit.plan_id for commit in last[-1:]),
            files=counts.files,
            rows_scored=self.rows_scored,
            rows_by_status=counts.rows_by_status,
            labels=counts.labels,
            elapsed_s=elapsed_s,
            images_per_s=images / elapsed_s if elapsed_s else 0.0,
            provider=last[-1].provider if last else self.settings.session.provider,
            abstained=counts.abstained,
            foreign=counts.foreign,
            deferred=max(self.files.deferred, len(self.files.names) // KEY_BYTES - counts.files),
            class_prior=self.settings.class_prior,
        )

    def _writer(self, rows: int) -> tuple[PartWriter, Committer]:
        """What scores and what commits; made once a run, when there is something to score."""
        if self.writer is None:
            settings, (run_id, clock) = _tuned(self.job, rows), (self.committing.run_id, self.committing.clock)
            work = Work(self.folder, self.bundle, self.store.out, settings, run_id, clock)
            writer = (self.held.open_writer or self._local_writer)(work, self.held.until_end)
            committing = self.committing._replace(provider=writer.provider)
            self.writer = writer, Committer(self.store, committing, settings.commit_seconds)
        return self.writer

    def _local_writer(self, work: Work, until_end: ExitStack) -> PartWriter:
        processes = process_count(work.settings.processes, work.settings.threads)
        if processes > 1:
            return until_end.enter_context(Fleet(work, processes, self.held.lock))
        return ThreadWriter.open(work, until_end)

    def _shards(self, first: Plan, others: Iterator[Plan], committer: Committer) -> Iterator[Shard]:
        plan: Plan | None = first
        while plan is not None:
            self.plan_ids.append(plan.plan_id)
            missing = committer.missing(plan)
            self.total += sum(plan.slice_of(number)[1] for number in missing)
            yield from committer.shards(plan, missing)
            plan = next(others, None)


def _tuned(job: ScoreJob, rows: int) -> ScoringSettings:
    """The settings with what runs fastest on this machine, where it is worth to measure that and nothing was chosen."""
    settings = job.settings
    is_chosen = settings.threads > 0 or settings.session != SessionSettings()
    if not settings.autotune or is_chosen or job.tuning_dir is None or rows < _TUNED_FROM_ROWS:
        return settings
    files = job.bundle.golden["picture"].to_pylist()
    best = tuned(job.bundle.onnx_bytes, job.bundle.card, files, job.tuning_dir).option
    return settings.model_copy(update={"threads": best.threads, "session": best.session})


def _require_within_budget(counts: FolderCounts, settings: ScoringSettings) -> None:
    """Refuses a folder with too many files that cannot be scored.

    Raises:
        TooManyBadFiles: by share or by count.
    """
    share = counts.bad / counts.files if counts.files else 0.0
    is_share = counts.files >= _SHARE_FROM_FILES and share > settings.max_bad_share
    if is_share or 0 < settings.max_bad_files < counts.bad:
        worst = ", ".join(f"{n} {status}" for status, n in counts.rows_by_status.items() if status != "ok")
        limit = f"at most {settings.max_bad_share:.0%}" if is_share else f"at most {settings.max_bad_files}"
        raise TooManyBadFiles(
            f"{counts.bad} of {counts.files} files cannot be scored ({worst}); all of them have their row",
            f"{limit} of them, by scoring.max_bad_share and scoring.max_bad_files",
            "Look at the column reason of the predictions, and mend the folder or the limit.",
        )
