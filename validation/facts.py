"""The frame that rules look at: the columns of a manifest or split, and columns made for rules.

A made column is null where a row is fine or where the question does not arise, so that a rule asks for null or for
bounds and ignores the rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from models.artifacts.tables import MANIFEST, SPLIT

if TYPE_CHECKING:
    import pandas as pd

_NESTED = ("labels", "slices", "path_bytes", "perceptual_hash")
_NAMES = ("path", "image_id", "group_id")
_DEEP_MODES = ("I;16", "I;16B", "I;16L", "I;16N")
_EXTENSIONS = {
    "JPEG": ("jpg", "jpeg", "jpe", "jfif", "mpo"),
    "MPO": ("jpg", "jpeg", "jpe", "jfif", "mpo"),
    "PNG": ("png", "apng"),
    "BMP": ("bmp", "dib"),
    "GIF": ("gif",),
    "TIFF": ("tif", "tiff"),
    "WEBP": ("webp",),
}


def manifest_frame(manifest: pa.Table, label_issues: pa.Table | None = None) -> pd.DataFrame:
    """Every plain column of a manifest, and the columns made for rules.

    Args:
        manifest: table MANIFEST.
        label_issues: rows whose label is doubted, with path and suggested_label.
    """
    is_ok = pc.equal(manifest["status"], "ok")
    made = {
        "class_name": class_names(manifest),
        # Files that are no pictures by intent (links, system files) do not count as unreadable.
        "unreadable": _where(pc.invert(pc.is_in(manifest["status"], pa.array(["ok", "ignored"]))), manifest["reason"]),
        "unlistable": _where(pc.equal(manifest["reason"], "unreadable_folder"), manifest["path"]),
        "not_found": _where(pc.equal(manifest["reason"], "not_found"), manifest["path"]),
        "unlabelled": _where(_and(is_ok, _is_unlabelled(manifest)), manifest["path"]),
        "short_side_px": pc.min_element_wise(manifest["width_px"], manifest["height_px"], skip_nulls=False),
        "aspect": _aspect(manifest),
        "size_deviation": _size_deviation(manifest),
        "misnamed": _misnamed(manifest),
        "deep_mode": _where(pc.is_in(manifest["mode"], pa.array(_DEEP_MODES)), manifest["mode"]),
        "grey_among_colour": _where(_grey_among_colour(manifest), manifest["path"]),
        "copies": _where(_and(is_ok, _is_repeated(manifest["image_id"])), manifest["status"]),
        "near_copies": _near_copies(manifest),
        "suggested_label": _suggested(manifest, label_issues),
    }
    return _frame(manifest, MANIFEST, made)


def split_frame(split: pa.Table) -> pd.DataFrame:
    """Every plain column of a split, and the name of each row's class."""
    return _frame(split, SPLIT, {"class_name": class_names(split)})


def class_names(table: pa.Table) -> pa.Array:
    """The class of each row; of multi-label rows all of them, joined by `|`."""
    joined = pc.binary_join(table["labels"].combine_chunks(), "|")
    return pc.coalesce(table["label"], joined)


def colliding(names: pa.Array) -> set[str]:
    """Names that another one equals but for case or the way accents are written."""
    distinct = pc.unique(names.drop_null())
    keys = pc.utf8_lower(pc.utf8_normalize(distinct, form="NFC"))
    counts = pc.value_counts(keys)
    alike = counts.field("values").filter(pc.greater(counts.field("counts"), 1))
    return set(distinct.filter(pc.is_in(keys, alike)).to_pylist())


def _frame(table: pa.Table, schema: pa.Schema, made: dict[str, pa.Array | pa.ChunkedArray]) -> pd.DataFrame:
    names = [name for name in schema.names if name not in (*_NESTED, *_NAMES)]
    found = {**{name: table[name] for name in names}, **made}
    frame: pd.DataFrame = pa.table({name: _handy(values) for name, values in found.items()}).to_pandas()
    # Nearly as many values as rows: categories would cost more than they save.
    return frame.assign(**{name: np.array(table[name].to_pylist(), dtype=object) for name in _NAMES})


def _handy(values: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """A column as Great Expectations is quick with it.

    It compares only 64-bit numbers as arrays, and copies the whole frame for every rule, which categories make cheap.
    """
    if pa.types.is_floating(values.type) or pa.types.is_integer(values.type):
        # Nulls make whole numbers floats in pandas.
        return values.cast(pa.float64())
    return values.dictionary_encode() if pa.types.is_string(values.type) else values


def _where(mask: pa.Array | pa.ChunkedArray, values: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    return pc.if_else(pc.fill_null(mask, False), values, pa.scalar(None, values.type))


def _and(left: pa.Array | pa.ChunkedArray, right: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    return pc.and_(left, pc.fill_null(right, False))


def _is_unlabelled(manifest: pa.Table) -> pa.ChunkedArray:
    return pc.and_(manifest["label"].is_null(), manifest["labels"].is_null())


def _is_repeated(values: pa.ChunkedArray) -> pa.Array:
    counts = pc.value_counts(values.drop_null().combine_chunks())
    repeated = counts.field("values").filter(pc.greater(counts.field("counts"), 1))
    return pc.is_in(values, repeated)


def _near_copies(manifest: pa.Table) -> pa.ChunkedArray:
    """Pictures of a cluster that holds more than copies of one file."""
    pairs = pa.table({"group": manifest["duplicate_group"], "image_id": manifest["image_id"]}).drop_null()
    kinds = pairs.group_by("group").aggregate([("image_id", "count_distinct")])
    several = kinds.filter(pc.greater(kinds["image_id_count_distinct"], 1))["group"]
    return _where(pc.is_in(manifest["duplicate_group"], several.combine_chunks()), manifest["status"])


def _aspect(manifest: pa.Table) -> pa.Array:
    ratio = pc.divide(manifest["width_px"].cast(pa.float64()), manifest["height_px"].cast(pa.float64()))
    return pc.min_element_wise(ratio, pc.divide(1.0, ratio), skip_nulls=False)


def _size_deviation(manifest: pa.Table) -> pa.Array:
    """How far a picture's size is outside the middle half of all, in ranges of that half; cleanvision's odd_size."""
    area = pc.multiply(manifest["width_px"].cast(pa.float64()), manifest["height_px"].cast(pa.float64()))
    sizes = np.sqrt(area.to_numpy())
    known = sizes[np.isfinite(sizes)]
    if not len(known):
        return pa.nulls(len(sizes), pa.float64())
    q1, q3 = np.percentile(known, [25, 75])
    outside = np.maximum(np.maximum(q1 - sizes, sizes - q3), 0)
    # Where half of all have one size, any other is odd.
    found = outside / (q3 - q1) if q3 > q1 else np.where(outside > 0, np.finfo(np.float64).max, outside)
    return pa.array(found, pa.float64(), from_pandas=True)


def _misnamed(manifest: pa.Table) -> pa.Array:
    """Paths of pictures whose ending belongs to another format; a name without an ending is no lie."""
    endings = pc.utf8_lower(pc.struct_field(pc.extract_regex(manifest["path"], r"\.(?P<e>[^./]{1,5})$"), "e"))
    claimed = {end for ends in _EXTENSIONS.values() for end in ends}
    wrong = pc.is_in(endings, pa.array(sorted(claimed)))
    for kind, ends in _EXTENSIONS.items():
        right = pc.and_(pc.equal(manifest["format"], kind), pc.is_in(endings, pa.array(ends)))
        wrong = pc.and_(wrong, pc.invert(pc.fill_null(right, False)))
    return _where(pc.and_(wrong, pc.equal(manifest["status"], "ok")), manifest["path"])


def _grey_among_colour(manifest: pa.Table) -> pa.ChunkedArray:
    """Grey pictures where most are in colour."""
    grey = manifest["is_grey"]
    share = pc.mean(grey.cast(pa.float64())).as_py() or 0.0
    return grey if share < 0.5 else pc.and_(grey, False)


def _suggested(manifest: pa.Table, issues: pa.Table | None) -> pa.Array:
    if issues is None:
        return pa.nulls(manifest.num_rows, pa.string())
    place = pc.index_in(manifest["path"], issues["path"].combine_chunks())
    return issues["suggested_label"].combine_chunks().take(place.combine_chunks())
