"""Frozen plans: the files that commits will account for, written before the first of them is scored."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pyarrow as pa
from pydantic import ValidationError

from models.artifacts.durable import storage_errors, sync_folder, write_durably
from models.artifacts.tables import decode_table
from models.data.listing import LISTING
from models.serving.commit_log import Record, broken

# `known_sha256`: digest of the bytes that the newest row of the same path is about; null where there is no row.
PLANNED = pa.schema([*LISTING, ("known_sha256", pa.string())], metadata={"schema": "planned/2"})
_INPUTS, _PLAN, _CLOSED = "inputs.parquet", "plan.json", "closed"


class Plan(Record):
    """Files that commits will account for.

    Attributes:
        settings_sha256: of what decides how its rows look; empty in plans of before 0.3.
    """

    plan_id: str
    folder: str
    bundle_sha256: str
    shard_rows: int
    rows: int
    inputs_sha256: str
    settings_sha256: str = ""

    @property
    def shards(self) -> int:
        """Number of its shards; the last one may be short."""
        return -(-self.rows // self.shard_rows)

    def slice_of(self, shard: int) -> tuple[int, int]:
        """First row of a shard and its number of rows."""
        first = shard * self.shard_rows
        return first, min(self.shard_rows, self.rows - first)


class PlanStore:
    """The plans below an output's folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, plan: Plan, inputs: bytes) -> None:
        """Freezes a plan; it exists once plan.json does."""
        write_durably(self.of(plan.plan_id) / _INPUTS, inputs)
        write_durably(self.of(plan.plan_id) / _PLAN, plan.model_dump_json(indent=1).encode())

    def all(self) -> list[Plan]:
        """All whole plans that were not given up, committed or open."""
        paths = sorted(self.folder.glob(f"*/{_PLAN}"))
        return [self._read(path) for path in paths if not (path.parent / _CLOSED).exists()]

    def get(self, plan_id: str) -> Plan:
        """One plan.

        Raises:
            ArtifactChanged: it is gone or does not read.
        """
        return self._read(self.of(plan_id) / _PLAN)

    def inputs(self, plan_id: str) -> pa.Table:
        """Table PLANNED of a plan's files.

        Raises:
            ArtifactChanged: they are not those that were frozen.
        """
        path, plan = self.of(plan_id) / _INPUTS, self.get(plan_id)
        with storage_errors(path, "read"):
            data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() != plan.inputs_sha256:
            raise broken(path)
        return decode_table(data, PLANNED)

    def close(self, plan: Plan) -> None:
        """Gives up what is left of a plan; the commits of its other shards stay what they are."""
        write_durably(self.of(plan.plan_id) / _CLOSED, b"")

    def remove(self, plan: Plan) -> None:
        """Removes a plan of which nothing was committed; plan.json goes first."""
        place = self.of(plan.plan_id)
        with storage_errors(place, "removed"):
            (place / _PLAN).unlink(missing_ok=True)
            sync_folder(place)
            shutil.rmtree(place)

    def of(self, plan_id: str) -> Path:
        """The folder of a plan."""
        return self.folder / plan_id

    def _read(self, path: Path) -> Plan:
        with storage_errors(path, "read"):
            try:
                return Plan.model_validate_json(path.read_bytes())
            except (FileNotFoundError, ValidationError) as error:
                raise broken(path) from error
