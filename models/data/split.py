"""Train, tune and test: by a hash of the group, so that a picture added tomorrow moves none of today's."""

from __future__ import annotations

import hashlib

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from models.artifacts.tables import SPLIT
from models.errors import DataError
from models.settings import Settings

TRAIN, TUNE, TEST = "train", "tune", "test"
_SETTINGS_KEY = b"split_settings"


class SplitSettings(Settings):
    """How pictures are divided."""

    tune_share: float = Field(
        default=0.15, gt=0, lt=0.5, description="Share kept for choosing settings.", title="Tune share"
    )
    test_share: float = Field(
        default=0.2, gt=0, lt=0.5, description="Share kept for the final numbers, seen once.", title="Test share"
    )
    seed: int = Field(default=0, ge=0, description="Another seed gives another division.", title="Seed")


def assign_splits(manifest: pa.Table, settings: SplitSettings) -> pa.Table:
    """Table SPLIT: the readable, labelled rows of a manifest with their split.

    Rows of one `group_id` share a split, so copies of a picture never straddle.

    Raises:
        DataError: a class that has no picture in one of the three splits.
    """
    usable = manifest.filter(pc.and_(pc.equal(manifest["status"], "ok"), pc.is_valid(manifest["label"])))
    splits = [split_of(group, settings) for group in usable["group_id"].to_pylist()]
    schema = SPLIT.with_metadata({**SPLIT.metadata, _SETTINGS_KEY: settings.model_dump_json()})
    table = pa.table([*usable.columns, pa.array(splits, pa.string())], schema=schema)
    present = set(zip(usable["label"].to_pylist(), splits, strict=True))
    labels = sorted({label for label, _ in present})
    absent = [f"{label} in {s}" for label in labels for s in (TRAIN, TUNE, TEST) if (label, s) not in present]
    if absent:
        raise DataError(
            f"no picture of class {', '.join(absent)}",
            "every class in train, tune and test",
            "Add pictures of the class (40 are almost always enough), or change split.seed.",
        )
    return table


def split_settings(split: pa.Table) -> SplitSettings:
    """The settings by which a table SPLIT was made."""
    return SplitSettings.model_validate_json((split.schema.metadata or {})[_SETTINGS_KEY])


def split_of(group_id: str, settings: SplitSettings) -> str:
    """Split of one group; depends on nothing but its name and the settings."""
    digest = hashlib.sha256(f"{settings.seed}:{group_id}".encode()).digest()
    position = int.from_bytes(digest[:8], "big") / 2**64
    if position < settings.test_share:
        return TEST
    return TUNE if position < settings.test_share + settings.tune_share else TRAIN
