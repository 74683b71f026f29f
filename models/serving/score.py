"""Batch scoring of a folder: every file of a frozen plan gets exactly one row. Needs no torch."""

from __future__ import annotations

import hashlib
import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from models.artifacts.records import ScoreSummary
from models.artifacts.tables import PREDICTIONS, encode_table, table_of
from models.data.decode import FileTimes
from models.data.limits import DecodeLimits
from models.data.listing import LISTING, file_name, listing_table, require_apart, safe_name
from models.data.split import NO_CLASS
from models.errors import ContractBroken, SettingsError
from models.parallel import OnProgress, map_in_threads, no_progress, shifted, usable_cores
from models.serving.autotune import tuned
from models.serving.bundle import Bundle
from models.serving.commit import Commit, OutputStore, Plan
from models.serving.golden import check_golden
from models.serving.picture_scorer import PictureScorer, Scored, prediction_row
from models.serving.session import Provider, SessionSettings
from models.serving.signature import SignatureSettings
from models.settings import Settings

Clock = Callable[[], datetime]
# Measuring takes seconds; fewer files would not earn them back.
_TUNED_FROM_ROWS = 2000
# Of the model's score, behind which a picture is unlike the training pictures.
FOREIGN = 1.0
_TRY_AGAIN = ("io_error", "changed_while_read", "inference_failed")


class ScoringSettings(Settings):
    """How a folder is scored."""

    limits: DecodeLimits = Field(default=DecodeLimits(), title="Limits", description="What one file may cost.")
    shard_rows: int = Field(
        default=2000,
        ge=1,
        le=1_000_000,
        description="Files that are written together; an interrupted run repeats at most so many.",
        title="Shard",
    )
    threads: int = Field(default=0, ge=0, le=256, description="0: all cores this process may use.", title="Threads")
    session: SessionSettings = Field(default=SessionSettings(), title="Session", description="What runs the model.")
    signature: SignatureSettings = Field(
        default=SignatureSettings(), title="Signature", description="Whose bundles are believed."
    )
    autotune: bool = Field(
        default=True,
        title="Autotune",
        description="Measure once a machine what runs fastest, where many files are scored on the CPU; takes seconds.",
    )
    top_k: int = Field(default=3, ge=1, le=100, description="Classes kept a row, best first.", title="Top k")


class ScoreJob(NamedTuple):
    """What is to be scored, by what, and where to; `tuning_dir` keeps what was measured of this machine."""

    folder: Path
    bundle: Bundle
    out: Path
    settings: ScoringSettings
    tuning_dir: Path | None = None


def utc_now() -> datetime:
    """The time of this machine's clock."""
    return datetime.now(UTC)


def score_folder(
    job: ScoreJob, run_id: str, clock: Clock = utc_now, on_progress: OnProgress = no_progress
) -> ScoreSummary:
    """What the output holds after every file of the job's folder has its row.

    Files that already have a row from this bundle are left alone. Interrupted, the next call goes on where this
    one stopped.

    Raises:
        SettingsError: the output lies inside the folder, or holds the rows of another folder.
        OutputBusy: another run holds the output.
        StorageError: the output cannot be written; committed rows stay.
    """
    require_apart(job.folder, job.out)
    run = _Run(job, run_id, clock)
    rows_scored = 0
    with run.store.hold():
        run.require_same_folder()
        # An open plan is finished first: what an interrupted run has scored is not scored again.
        unfinished = run.open_plan()
        if unfinished is not None:
            rows_scored += run.execute(unfinished, on_progress)
        rest = run.new_plan()
        if rest is not None:
            rows_scored += run.execute(rest, on_progress)
        return run.summary(rows_scored)


class _Run:
    """One call of `score_folder`."""

    def __init__(self, job: ScoreJob, run_id: str, clock: Clock) -> None:
        self.folder = job.folder.resolve()
        self.folder_text = safe_name(str(self.folder))[0]
        self.job = job
        self.plan_ids: list[str] = []
        self.bundle, self.settings, self.store = job.bundle, job.settings, OutputStore(job.out)
        self.run_id, self.clock = run_id, clock

    def require_same_folder(self) -> None:
        """Refuses an output that holds another folder's rows: paths are relative, and would be mixed up."""
        others = {commit.folder for commit in self.store.commits()} - {self.folder_text}
        if others:
            raise SettingsError(
                f"{self.store.out} holds the predictions of {min(others)}",
                f"an output of its own for {self.folder_text}",
                "Choose another --out, or score the folder above both.",
            )

    def open_plan(self) -> Plan | None:
        """A plan of this folder and bundle that was never committed."""
        committed = {commit.plan_id for commit in self.store.commits()}
        for plan in self.store.plans():
            same = (plan.folder, plan.bundle_sha256) == (self.folder_text, self.bundle.sha256)
            if same and plan.plan_id not in committed:
                return plan
        return None

    def new_plan(self) -> Plan | None:
        """A plan of the files without a row, frozen on disk; None where nothing is left."""
        done = self._done()
        rows = [row for row in listing_table(self.folder).to_pylist() if _key(row) not in done]
        if not rows:
            return None
        inputs = encode_table(table_of(rows, LISTING))
        digest = hashlib.sha256(inputs).hexdigest()
        wish = f"{self.store.last_digest()}:{self.bundle.sha256}:{self.settings.shard_rows}:{self.folder_text}:{digest}"
        plan = Plan(
            plan_id=hashlib.sha256(wish.encode()).hexdigest()[:16],
            folder=self.folder_text,
            bundle_sha256=self.bundle.sha256,
            shard_rows=self.settings.shard_rows,
            rows=len(rows),
            inputs_sha256=digest,
        )
        self.store.write_plan(plan, inputs)
        return plan

    def execute(self, plan: Plan, on_progress: OnProgress) -> int:
        """Scores the shards that are not there yet, commits the plan, and gives the rows scored."""
        started = time.monotonic()
        self.settings = _tuned(self.job, plan.rows)
        scorer = PictureScorer(self.bundle.onnx_bytes, self.settings.limits, self.settings.session)
        # Another decoder, instruction set or provider must not sort otherwise than what was judged.
        check_golden(self.bundle.golden, scorer)
        inputs = self.store.inputs(plan.plan_id).to_pylist()
        scored, paths = 0, []
        for shard, start in enumerate(range(0, len(inputs), plan.shard_rows)):
            path = self.store.part_path(plan, shard)
            rows = inputs[start : start + plan.shard_rows]
            if not path.exists():
                report = shifted(on_progress, start, len(inputs))
                self.store.write_part(path, self._score_rows(scorer, rows, plan, report))
                scored += len(rows)
            on_progress(start + len(rows), len(inputs))
            paths.append(path)
        self._commit(plan, paths, time.monotonic() - started, scored, scorer.provider)
        return scored

    def summary(self, rows_scored: int) -> ScoreSummary:
        """Counts of the folder's files as the output now has them."""
        latest = {_name(row): row for row in self.store.read(self.bundle.sha256).to_pylist()}
        names = [_name(row) for row in listing_table(self.folder).to_pylist()]
        present = [latest[name] for name in names if name in latest]
        last = next((c for c in reversed(self.store.commits()) if c.bundle_sha256 == self.bundle.sha256), None)
        return ScoreSummary(
            folder=self.folder_text,
            out=str(self.store.out),
            model_name=self.bundle.card.name,
            bundle_sha256=self.bundle.sha256,
            plan_ids=tuple(self.plan_ids) or ((last.plan_id,) if last else ()),
            files=len(present),
            rows_scored=rows_scored,
            rows_by_status=dict(sorted(Counter(row["status"] for row in present).items())),
            labels=dict(sorted(Counter(label for row in present for label in _predicted(row)).items())),
            elapsed_s=last.elapsed_s if last else 0.0,
            images_per_s=last.images_per_s if last else 0.0,
            provider=last.provider if last else self.settings.session.provider,
            abstained=_count(present, "abstained", bool),
            foreign=_count(present, "ood_score", lambda value: value > FOREIGN),
        )

    def _done(self) -> set[tuple[object, ...]]:
        """Keys of the files that have a row from this bundle, but for rows that the machine is to blame for."""
        mine = [c for c in self.store.commits() if c.bundle_sha256 == self.bundle.sha256]
        rows = self.store.read(self.bundle.sha256).select(["path", "path_bytes", "reason", "plan_id"])
        blamed = rows.filter(pc.is_in(rows["reason"], pa.array(_TRY_AGAIN))).to_pylist()
        again = {(row["plan_id"], _name(row)) for row in blamed}
        return {
            _key(row)
            for commit in mine
            for row in self.store.inputs(commit.plan_id).to_pylist()
            if (commit.plan_id, _name(row)) not in again
        }

    def _score_rows(
        self, scorer: PictureScorer, rows: list[dict[str, Any]], plan: Plan, on_progress: OnProgress
    ) -> pa.Table:
        at = self.clock()
        found = []
        for scored in map_in_threads(
            lambda row: self._score_entry(scorer, row), rows, threads=self.settings.threads or usable_cores()
        ):
            found.append(scored)
            on_progress(len(found), len(rows))
        self._refuse_broken(found)
        stamp = {
            "model_name": self.bundle.card.name,
            "bundle_sha256": self.bundle.sha256,
            "plan_id": plan.plan_id,
            "run_id": self.run_id,
            "scored_at": at,
        }
        predictions = [
            {**prediction_row(row, scored, scorer.card, self.settings.top_k), **stamp}
            for row, scored in zip(rows, found, strict=True)
        ]
        return table_of(predictions, PREDICTIONS)

    def _score_entry(self, scorer: PictureScorer, row: dict[str, Any]) -> Scored:
        if row["status"] is not None:
            return Scored.failed(row["status"], row["reason"])
        path = os.path.join(self.folder, file_name(row))  # noqa: PTH118 - keeps surrogates
        return scorer.score(path, FileTimes(row["size_bytes"], row["mtime_ns"]))

    def _refuse_broken(self, found: list[Scored]) -> None:
        """Stops where the model fails on most pictures: then it is the model, or the machine, and no picture."""
        crashed = sum(scored.status == "crashed" for scored in found)
        if crashed > 1 and crashed * 2 > sum(scored.status in ("ok", "crashed") for scored in found):
            raise ContractBroken(
                f"inference failed on {crashed} of {len(found)} pictures",
                "a model that runs here",
                "Run sortline doctor.",
            )

    def _commit(self, plan: Plan, paths: list[Path], elapsed_s: float, scored: int, provider: Provider) -> None:
        parts = tuple(self.store.part(path) for path in paths)
        rows = sum(part.rows for part in parts)
        if rows != plan.rows:
            raise ContractBroken(
                f"plan {plan.plan_id} has {rows} rows",
                f"{plan.rows}, one a file",
                "Report this; nothing was committed.",
            )
        self.store.append(
            Commit(
                sequence=len(self.store.commits()) + 1,
                prev_sha256=self.store.last_digest(),
                plan_id=plan.plan_id,
                folder=plan.folder,
                model_name=self.bundle.card.name,
                bundle_sha256=self.bundle.sha256,
                run_id=self.run_id,
                at=self.clock().isoformat(),
                parts=parts,
                elapsed_s=elapsed_s,
                images_per_s=scored / elapsed_s if elapsed_s else 0.0,
                provider=provider,
            )
        )
        self.plan_ids.append(plan.plan_id)


def _tuned(job: ScoreJob, rows: int) -> ScoringSettings:
    """The settings with what runs fastest on this machine, where it is worth to measure that and nothing was chosen."""
    settings = job.settings
    is_chosen = settings.threads > 0 or settings.session != SessionSettings()
    if not settings.autotune or is_chosen or job.tuning_dir is None or rows < _TUNED_FROM_ROWS:
        return settings
    files = job.bundle.golden["picture"].to_pylist()
    best = tuned(job.bundle.onnx_bytes, job.bundle.card, files, job.tuning_dir).option
    return settings.model_copy(update={"threads": best.threads, "session": best.session})


def _key(row: dict[str, Any]) -> tuple[object, ...]:
    """What tells a file from a newer one of the same name, without reading it."""
    return (_name(row), row["size_bytes"], row["mtime_ns"], row["ctime_ns"], row["inode"], row["status"])


def _predicted(row: dict[str, Any]) -> Sequence[str]:
    """The labels that a row counts for; of several-label rows without any, one that stands for none."""
    if row["labels"] is None:
        return [row["label"]] if row["label"] else []
    return row["labels"] or [NO_CLASS]


def _count(rows: list[dict[str, Any]], column: str, is_it: Callable[[Any], bool]) -> int | None:
    """Rows whose value is of a kind; None where no row has one."""
    values = [row[column] for row in rows if row[column] is not None]
    return sum(map(is_it, values)) if values else None


def _name(row: dict[str, Any]) -> str | bytes:
    """What a file is called; an escaped name may be the true name of another file."""
    name: str | bytes = row["path"] if row["path_bytes"] is None else row["path_bytes"]
    return name
