"""Train, tune and test, so that a picture added tomorrow moves none of today's and copies never straddle."""

from __future__ import annotations

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import pyarrow as pa
from pydantic import Field

from models.artifacts.tables import EXCLUDED_KEY, SPLIT
from models.errors import DataError
from models.settings import Settings

TRAIN, TUNE, TEST = "train", "tune", "test"
SPLITS = (TRAIN, TUNE, TEST)
# A new picture that is a near copy of an old one in train and of another in test can be in neither.
LEFT_OUT = "left_out"
_SETTINGS_KEY = b"split_settings"
NO_CLASS = "(none)"


class SplitSettings(Settings):
    """How pictures are divided."""

    tune_share: float = Field(
        default=0.15, gt=0, lt=0.5, description="Share kept for choosing settings.", title="Tune share"
    )
    test_share: float = Field(
        default=0.2, gt=0, lt=0.5, description="Share kept for the final numbers, seen once.", title="Test share"
    )
    folds: int = Field(
        default=0,
        ge=0,
        le=100,
        description="Folds that train and tune are cut into besides, for cross-validation; 0: none.",
        title="Folds",
    )
    seed: int = Field(default=0, ge=0, description="Another seed gives another division.", title="Seed")


class _Group(NamedTuple):
    """Rows that stay together: the classes in it, and the splits that its rows were given or had before."""

    classes: frozenset[str]
    fixed: frozenset[str]


def assign_splits(manifest: pa.Table, settings: SplitSettings, earlier: pa.Table | None = None) -> pa.Table:
    """Table SPLIT: the readable, labelled rows of a manifest with their split.

    A row keeps the user's split, else the one it had in `earlier`; a group follows its rows that have one; any other
    group goes where the hash of its name says, which depends on no other picture. Only where that would leave a
    class with less than half of its share in a split, groups that have no split yet are moved, rarest class first.

    Args:
        manifest: table MANIFEST.
        settings: shares, folds and seed.
        earlier: the last table SPLIT of the same data line; one under other settings counts as none.

    Raises:
        DataError: a class that cannot be in each of the three splits.
    """
    usable = usable_rows(manifest)
    names = usable["group_id"].to_pylist()
    fixed = _fixed_splits(usable, settings, earlier)
    classes = row_classes(usable)
    groups = _groups(names, classes, fixed)
    split_by_group = _split_groups(groups, settings)
    splits = [own or split_by_group[name] for own, name in zip(fixed, names, strict=True)]
    _require_all_splits(classes, splits)
    folds = [
        fold_of(name, settings) if settings.folds and split in (TRAIN, TUNE) else None
        for name, split in zip(names, splits, strict=True)
    ]
    told = {key: text for key, text in (manifest.schema.metadata or {}).items() if key == EXCLUDED_KEY}
    schema = SPLIT.with_metadata({**SPLIT.metadata, **told, _SETTINGS_KEY: settings.model_dump_json()})
    return pa.table([*usable.columns, pa.array(splits, pa.string()), pa.array(folds, pa.int32())], schema=schema)


def usable_rows(manifest: pa.Table) -> pa.Table:
    """The rows of a manifest that decode and have a label or a list of labels."""
    import pyarrow.compute as pc  # noqa: PLC0415 - takes time, and cards need this module's settings only

    readable = readable_rows(manifest)
    return readable.filter(pc.or_(readable["label"].is_valid(), readable["labels"].is_valid()))


def readable_rows(manifest: pa.Table) -> pa.Table:
    """The rows of a manifest that decode, whether they have a label or not."""
    import pyarrow.compute as pc  # noqa: PLC0415 - as above

    return manifest.filter(pc.equal(manifest["status"], "ok"))


def row_classes(rows: pa.Table) -> list[tuple[str, ...]]:
    """The classes of each row; of multi-label rows without any, one that stands for none."""
    return [
        tuple(labels) or (NO_CLASS,) if labels is not None else (label,)
        for label, labels in zip(rows["label"].to_pylist(), rows["labels"].to_pylist(), strict=True)
    ]


def split_settings(split: pa.Table) -> SplitSettings:
    """The settings by which a table SPLIT was made."""
    return SplitSettings.model_validate_json((split.schema.metadata or {})[_SETTINGS_KEY])


def split_of(group_id: str, settings: SplitSettings) -> str:
    """Split of one group by its name alone."""
    position = _position(f"{settings.seed}:{group_id}")
    if position < settings.test_share:
        return TEST
    return TUNE if position < settings.test_share + settings.tune_share else TRAIN


def fold_of(group_id: str, settings: SplitSettings) -> int:
    """Fold of one group, 0..folds-1, by its name alone."""
    return int(_position(f"fold:{settings.seed}:{group_id}") * settings.folds)


def _position(text: str) -> float:
    """A place in 0..1 that a text always has."""
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8], "big") / 2**64


def _fixed_splits(usable: pa.Table, settings: SplitSettings, earlier: pa.Table | None) -> list[str | None]:
    """The split of each row that is decided: by the user, or by the earlier table."""
    before: dict[str, str] = {}
    if earlier is not None and split_settings(earlier) == settings:
        before = dict(zip(earlier["image_id"].to_pylist(), earlier["split"].to_pylist(), strict=True))
    return [
        given or before.get(image_id)
        for given, image_id in zip(usable["given_split"].to_pylist(), usable["image_id"].to_pylist(), strict=True)
    ]


def _groups(names: Iterable[str], classes: Iterable[tuple[str, ...]], fixed: Iterable[str | None]) -> dict[str, _Group]:
    found: dict[str, tuple[set[str], set[str]]] = defaultdict(lambda: (set(), set()))
    for name, labels, split in zip(names, classes, fixed, strict=True):
        found[name][0].update(labels)
        found[name][1].update([split] if split in SPLITS else [])
    return {name: _Group(frozenset(labels), frozenset(splits)) for name, (labels, splits) in found.items()}


def _split_groups(groups: Mapping[str, _Group], settings: SplitSettings) -> dict[str, str]:
    """Split of the rows of each group that have none yet."""
    chosen: dict[str, str] = {}
    for name, group in groups.items():
        by_rows = next(iter(group.fixed)) if len(group.fixed) == 1 else LEFT_OUT
        chosen[name] = by_rows if group.fixed else split_of(name, settings)
    of_class: dict[str, list[str]] = defaultdict(list)
    for name, group in groups.items():
        for label in group.classes:
            of_class[label].append(name)
    for label in sorted(of_class, key=lambda one: (len(of_class[one]), one)):
        _fill_up(of_class[label], groups, chosen, settings)
    return chosen


def _fill_up(names: list[str], groups: Mapping[str, _Group], chosen: dict[str, str], settings: SplitSettings) -> None:
    """Moves groups of one class that are free to move, until no split has less than half of its share of them.

    Those nearest to the border move first, so that the choice is the same on every run.
    """
    counts = Counter(chosen[name] for name in names)
    train_share = 1 - settings.test_share - settings.tune_share
    shares = {TEST: settings.test_share, TUNE: settings.tune_share, TRAIN: train_share}
    least = {split: max(1, math.floor(share * len(names) / 2)) for split, share in shares.items()}
    free = sorted((n for n in names if not groups[n].fixed), key=lambda n: (_position(f"{settings.seed}:{n}"), n))
    for split in (TRAIN, TEST, TUNE):
        for name in free:
            source = chosen[name]
            if counts[split] < least[split] and source != split and counts[source] > least[source]:
                counts[source] -= 1
                counts[split] += 1
                chosen[name] = split


def _require_all_splits(classes: Iterable[tuple[str, ...]], splits: Iterable[str]) -> None:
    present = {(label, split) for labels, split in zip(classes, splits, strict=True) for label in labels}
    labels = sorted({label for label, _ in present})
    absent = [f"{label} in {split}" for label in labels for split in SPLITS if (label, split) not in present]
    if absent:
        raise DataError(
            f"no picture of class {', '.join(absent)}",
            "every class in train, tune and test, which takes three pictures that are no copies of one another",
            "Add pictures of the class, or mend the column split of the label table.",
        )
