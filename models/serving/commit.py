"""Exactly once: plans that are frozen, parts that appear whole, and a chained commit log that is the only truth.

OUT/.lock                                   held by the one run that works
OUT/_plans/<plan_id>/inputs.parquet         the files of the plan; plan.json is written last
OUT/data/model=<12 hex>/part-<plan_id>-<shard>.parquet
OUT/_commits/000000000001.json              prev = sha256 of the commit before it
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, ValidationError

from models.artifacts.durable import (
    TEMPORARY_PREFIX,
    exclusive_lock,
    sha256_of,
    storage_errors,
    sync_folder,
    write_durably,
)
from models.artifacts.tables import PREDICTIONS, decode_table, encode_table
from models.data.listing import LISTING
from models.errors import ArtifactChanged
from models.serving.session import Provider


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Plan(_Frozen):
    """Files that one commit will account for."""

    plan_id: str
    folder: str
    bundle_sha256: str
    shard_rows: int
    rows: int
    inputs_sha256: str


class Part(_Frozen):
    """One file of predictions."""

    path: str
    rows: int
    sha256: str


class Commit(_Frozen):
    """One entry of the log: a plan whose every file has its row."""

    sequence: int
    prev_sha256: str
    plan_id: str
    folder: str
    model_name: str
    bundle_sha256: str
    run_id: str
    at: str
    parts: tuple[Part, ...]
    elapsed_s: float
    images_per_s: float
    provider: Provider = "cpu"


class OutputStore:
    """The folder that a model's predictions go to."""

    def __init__(self, out: Path) -> None:
        self.out = out

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Makes this run the only one that writes.

        Raises:
            OutputBusy: another run holds the folder.
        """
        with exclusive_lock(self.out / ".lock"):
            self._recover()
            yield

    def commits(self) -> list[Commit]:
        """The log, oldest first.

        Raises:
            ArtifactChanged: the chain is broken.
        """
        found: list[Commit] = []
        prev = ""
        for path in sorted((self.out / "_commits").glob("[0-9]*.json")):
            data = path.read_bytes()
            try:
                commit = Commit.model_validate_json(data)
            except ValidationError as error:
                raise self._broken(path) from error
            if commit.prev_sha256 != prev or commit.sequence != len(found) + 1:
                raise self._broken(path)
            prev = hashlib.sha256(data).hexdigest()
            found.append(commit)
        return found

    def append(self, commit: Commit) -> None:
        """Adds a commit; only then do its rows exist."""
        name = f"{commit.sequence:012}.json"
        write_durably(self.out / "_commits" / name, commit.model_dump_json(indent=1).encode(), exclusive=True)

    def last_digest(self) -> str:
        """sha256 of the newest commit; empty before the first."""
        paths = sorted((self.out / "_commits").glob("[0-9]*.json"))
        return sha256_of(paths[-1]) if paths else ""

    def write_plan(self, plan: Plan, inputs: bytes) -> None:
        """Freezes a plan; it exists once plan.json does."""
        folder = self.out / "_plans" / plan.plan_id
        write_durably(folder / "inputs.parquet", inputs)
        write_durably(folder / "plan.json", plan.model_dump_json(indent=1).encode())

    def plans(self) -> list[Plan]:
        """All whole plans, committed or open."""
        paths = sorted((self.out / "_plans").glob("*/plan.json"))
        return [Plan.model_validate_json(path.read_bytes()) for path in paths]

    def inputs(self, plan_id: str) -> pa.Table:
        """The files of a plan.

        Raises:
            ArtifactChanged: they are not those that were frozen.
        """
        folder = self.out / "_plans" / plan_id
        with storage_errors(folder, "read"):
            plan = Plan.model_validate_json((folder / "plan.json").read_bytes())
            data = (folder / "inputs.parquet").read_bytes()
        if hashlib.sha256(data).hexdigest() != plan.inputs_sha256:
            raise self._broken(folder / "inputs.parquet")
        return decode_table(data, LISTING)

    def part_path(self, plan: Plan, shard: int) -> Path:
        """Where the rows of one shard lie; the same for every attempt."""
        return self.out / "data" / f"model={plan.bundle_sha256[:12]}" / f"part-{plan.plan_id}-{shard:06}.parquet"

    def write_part(self, path: Path, rows: pa.Table) -> None:
        """Makes the rows of one shard appear whole."""
        write_durably(path, encode_table(rows))

    def part(self, path: Path) -> Part:
        """Name, digest and number of rows of a part on disk."""
        with storage_errors(path, "read"):
            data = path.read_bytes()
        rows = decode_table(data, PREDICTIONS).num_rows
        return Part(path=str(path.relative_to(self.out)), rows=rows, sha256=hashlib.sha256(data).hexdigest())

    def read(self, bundle_sha256: str | None = None) -> pa.Table:
        """Table PREDICTIONS of all committed rows, of one bundle where given; parts that were altered refuse."""
        tables = [PREDICTIONS.empty_table()]
        for commit in self.commits():
            if bundle_sha256 in (None, commit.bundle_sha256):
                tables += [self._checked(part) for part in commit.parts]
        return pa.concat_tables(tables)

    def _checked(self, part: Part) -> pa.Table:
        path = self.out / part.path
        with storage_errors(path, "read"):
            data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() != part.sha256:
            raise self._broken(path)
        return decode_table(data, PREDICTIONS)

    def _recover(self) -> None:
        """Removes what an interrupted run left, and makes durable what it may have left only visible.

        Without the second step a name that was visible but not yet on disk would be trusted, committed and then
        lost with the power.
        """
        ours = [self.out / name for name in ("_plans", "data", "_commits")]
        folders = [folder for top in ours if top.is_dir() for folder in (top, *top.rglob("*")) if folder.is_dir()]
        for folder in folders:
            with storage_errors(folder, "written"):
                for left in folder.glob(f"{TEMPORARY_PREFIX}*"):
                    left.unlink(missing_ok=True)
        for folder in (self.out, *folders):
            sync_folder(folder)

    def _broken(self, path: Path) -> ArtifactChanged:
        return ArtifactChanged(
            f"{path} is not what was committed", "an unaltered output", "Restore it, or score into a new folder."
        )
