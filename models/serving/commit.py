"""Exactly once: plans that are frozen, parts that appear whole, and a chained commit log that is the only truth.

OUT/.lock                                   held by the one run that works
OUT/_plans/<plan_id>/inputs.parquet         the files of the plan; plan.json is written last
OUT/data/model=<12 hex>/part-<plan_id>-<shard>.parquet
OUT/_commits/000000000001.json              prev = sha256 of the commit before it
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pyarrow as pa

from models.artifacts.durable import (
    TEMPORARY_PREFIX,
    exclusive_lock,
    storage_errors,
    sync_folder,
    write_durably,
)
from models.artifacts.places import is_stored
from models.artifacts.tables import PREDICTIONS, decode_table, encode_table
from models.serving.commit_log import Commit, CommitLog, Part, broken, live_parts
from models.serving.plans import Plan, PlanStore

# Reasons that say more about the machine than about the file: it is tried again.
TRY_AGAIN = ("io_error", "changed_while_read", "inference_failed", "still_written")
MERGED = "merged-"
_UNCHANGED = b"unchanged"


class OutputStore:
    """The folder that a model's predictions go to.

    Attributes:
        log: which parts count.
        plans: which files they account for.
    """

    def __init__(self, out: Path) -> None:
        self.out = out
        self.log = CommitLog(out / "_commits")
        self.plans = PlanStore(out / "_plans")

    @contextmanager
    def hold(self) -> Iterator[int]:
        """Makes this run the only one that writes, and gives the descriptor of its lock.

        Raises:
            OutputBusy: another run holds the folder.
        """
        with exclusive_lock(self.out / ".lock") as lock:
            self._recover()
            yield lock

    def commits(self) -> list[Commit]:
        """The log, oldest first.

        Raises:
            ArtifactChanged: the chain is broken.
        """
        return self.log.read()

    def part_path(self, plan: Plan, shard: int) -> Path:
        """Where the rows of one shard lie; the same for every attempt."""
        return self.data_dir(plan.bundle_sha256) / f"part-{plan.plan_id}-{shard:06}.parquet"

    def name_of(self, path: Path) -> str:
        """A path inside the output, relative to it, as commits name it."""
        return str(path).removeprefix(f"{self.out}/")

    def names(self, pattern: str) -> list[str]:
        """Files of the output, as commits name them."""
        return sorted(self.name_of(path) for path in self.out.glob(pattern))

    def data_dir(self, bundle_sha256: str) -> Path:
        """Where the rows of one bundle lie."""
        return self.out / "data" / f"model={bundle_sha256[:12]}"

    def write_part(self, path: Path, rows: pa.Table, unchanged: int = 0) -> None:
        """Makes the rows of one shard appear whole; a part that is there stays.

        It may be committed already, by a run that believed this one dead: what is committed is never written again.

        Args:
            path: of the part.
            rows: table PREDICTIONS.
            unchanged: files of the shard that need no row.
        """
        told = {**rows.schema.metadata, _UNCHANGED: str(unchanged).encode()}
        with suppress(FileExistsError):
            write_durably(path, encode_table(rows.replace_schema_metadata(told)), exclusive=True)

    def part(self, path: Path, shard: int | None = None) -> Part:
        """What is to be committed of a part on disk."""
        with storage_errors(path, "read"):
            data = path.read_bytes()
        table = decode_table(data, PREDICTIONS)
        return Part(
            path=self.name_of(path),
            rows=table.num_rows,
            sha256=hashlib.sha256(data).hexdigest(),
            shard=shard,
            unchanged=int((table.schema.metadata or {}).get(_UNCHANGED, b"0")),
            rows_by_status=dict(sorted(Counter(table["status"].to_pylist()).items())),
            again=sum(reason in TRY_AGAIN for reason in table["reason"].to_pylist()),
        )

    def live(self, bundle_sha256: str | None = None) -> list[tuple[Commit, Part]]:
        """Parts that count, oldest rows first, of one bundle where given."""
        return [
            (commit, part)
            for commit, part in live_parts(self.commits())
            if bundle_sha256 in (None, commit.bundle_sha256)
        ]

    def paths(self, bundle_sha256: str | None = None) -> list[Path]:
        """Files whose rows count, oldest rows first: what a reader opens instead of a pattern of names."""
        return [self.out / part.path for _, part in self.live(bundle_sha256)]

    def tables(
        self, bundle_sha256: str | None = None, columns: Sequence[str] | None = None, *, newest_first: bool = False
    ) -> Iterator[pa.Table]:
        """One table PREDICTIONS a part, or the named columns of it; a part that was altered refuses."""
        live = self.live(bundle_sha256)
        for _, part in reversed(live) if newest_first else live:
            table = self.checked(part)
            yield table.select(columns) if columns else table

    def read(self, bundle_sha256: str | None = None, columns: Sequence[str] | None = None) -> pa.Table:
        """Table PREDICTIONS of all committed rows, oldest first; of one bundle, or some columns, where given."""
        empty = PREDICTIONS.empty_table()
        first = empty.select(columns) if columns else empty
        return pa.concat_tables([first, *self.tables(bundle_sha256, columns)])

    def checked(self, part: Part) -> pa.Table:
        """Table PREDICTIONS of a committed part.

        Raises:
            ArtifactChanged: it is not what was committed.
            StorageError: it cannot be read.
        """
        path = self.out / part.path
        with storage_errors(path, "read"):
            data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() != part.sha256:
            raise broken(path)
        return decode_table(data, PREDICTIONS).replace_schema_metadata(PREDICTIONS.metadata)

    def remove_uncounted(self, plan: Plan, counted: set[str]) -> None:
        """Removes the parts of a plan that no commit names, for good: only then may the plan go."""
        folder = self.data_dir(plan.bundle_sha256)
        for path in [self.part_path(plan, shard) for shard in range(plan.shards)] if folder.is_dir() else []:
            if self.name_of(path) not in counted:
                with storage_errors(path, "removed"):
                    path.unlink(missing_ok=True)
        if folder.is_dir():
            sync_folder(folder)

    def _recover(self) -> None:
        """Removes what an interrupted run left, and makes durable what it may have left only visible.

        Without the second step a name that was visible but not yet on disk would be trusted, committed and then
        lost with the power.
        """
        if is_stored(self.out):
            return
        folders = self._folders()
        for folder in folders:
            with storage_errors(folder, "written"):
                for left in folder.glob(f"{TEMPORARY_PREFIX}*"):
                    left.unlink(missing_ok=True)
        for folder in folders:
            sync_folder(folder)
        self.remove_replaced()

    def _folders(self) -> list[Path]:
        """Folders in which something may be visible that is not durable yet.

        The folders of plans that a commit names were synced before that commit was written.
        """
        plans, named = self.out / "_plans", {commit.plan_id for commit in self.commits()}
        with storage_errors(self.out, "read"):
            open_plans = [Path(e.path) for e in _scan(plans) if e.is_dir() and e.name not in named]
            models = [Path(e.path) for e in _scan(self.out / "data") if e.is_dir()]
        tops = [folder for folder in (plans, self.out / "data", self.out / "_commits") if folder.is_dir()]
        return [self.out, *tops, *open_plans, *models]

    def remove_replaced(self) -> None:
        """Removes files that a commit took out of the count, and merged ones that were never committed."""
        commits = self.commits()
        live = {part.path for _, part in live_parts(commits)}
        gone = {path for commit in commits for path in commit.removed}
        # In a store another run may be about to commit them.
        merged = set() if is_stored(self.out) else set(self.names(f"data/*/{MERGED}*.parquet"))
        for name in (gone | merged) - live:
            with storage_errors(self.out / name, "removed"):
                (self.out / name).unlink(missing_ok=True)


def _scan(folder: Path) -> list[os.DirEntry[str]]:
    if not folder.is_dir():
        return []
    with os.scandir(folder) as found:
        return list(found)
