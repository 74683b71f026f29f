"""Arrow schemas of every table, and the one way to read and write them."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from models.errors import ContractBroken

_PARQUET: Final[dict[str, Any]] = {
    "compression": "zstd",
    "compression_level": 1,
    "write_page_checksum": True,
    "store_schema": True,
}
# In the metadata of a manifest and of its splits: what became of a list of pictures not to be learned from.
EXCLUDED_KEY: Final = b"excluded"
MANIFEST = pa.schema(
    [
        ("image_id", pa.string()),  # sha256 of the bytes that were decoded; null where none were read
        ("path", pa.string()),  # relative to the folder, posix; bytes that are not UTF-8 as \xNN
        ("path_bytes", pa.binary()),  # null unless the name is not UTF-8
        ("label", pa.string()),  # null where the layout gives none, and in multi-label data
        ("labels", pa.list_(pa.string())),  # multi-label data only; empty where no class applies
        ("given_group", pa.string()),  # the user's own group, such as a patient or a camera
        ("given_split", pa.string()),  # the user's own division: train, tune or test
        ("weight", pa.float64()),  # the user's own weight of the row; null counts as 1
        ("group_id", pa.string()),  # what may not straddle splits: given group, copies and near copies joined
        ("duplicate_group", pa.string()),  # image_id of one picture of a cluster of copies; null where there is none
        ("slices", pa.map_(pa.string(), pa.string())),  # the user's own columns, by which scores are cut
        ("status", pa.string()),
        ("reason", pa.string()),
        ("size_bytes", pa.int64()),
        ("width_px", pa.int32()),  # of the upright picture
        ("height_px", pa.int32()),
        ("format", pa.string()),  # what the bytes are, whatever the name says
        ("mode", pa.string()),  # as stored: RGB, L, P, CMYK, I;16 ...
        ("frames", pa.int32()),
        ("orientation", pa.int32()),  # EXIF 1..8
        ("brightness", pa.float32()),  # mean luminance, 0..1
        ("contrast", pa.float32()),  # standard deviation of luminance, 0..1
        ("darkness", pa.float32()),  # 99th percentile of perceived luminance, 0..1; small is dark
        ("lightness", pa.float32()),  # 1 - its 5th percentile; small is light
        ("information", pa.float32()),  # a tenth of the entropy in bits, at most 1
        ("sharpness", pa.float32()),  # cleanvision's blurry score, at most 1; small is blurry
        ("is_grey", pa.bool_()),
        ("perceptual_hash", pa.uint64()),  # null where the picture holds too little to tell
        ("label_source", pa.string()),  # who said what it shows: folders, table, or review with name and day
    ],
    metadata={"schema": "manifest/3"},
)
SPLIT = pa.schema(
    [*MANIFEST, ("split", pa.string()), ("fold", pa.int32())],  # fold: null without folds and in test
    metadata={"schema": "split/3"},
)
RESAMPLE_PLAN = pa.schema(
    [
        ("image_id", pa.string()),
        ("label", pa.string()),
        ("labels", pa.list_(pa.string())),
        ("draw_weight", pa.float64()),  # in the first epoch; mean 1
        ("last_draw_weight", pa.float64()),  # in the last epoch; the same unless the plan is progressive
    ],
    metadata={"schema": "resample_plan/2"},
)
# Every row that broke a rule.
OFFENDERS = pa.schema(
    [("rule", pa.string()), ("severity", pa.string()), ("image_id", pa.string()), ("path", pa.string())],
    metadata={"schema": "offenders/1"},
)
# Pictures whose label is doubted; scores in 0..1.
LABEL_ISSUES = pa.schema(
    [
        ("image_id", pa.string()),
        ("path", pa.string()),
        ("label", pa.string()),
        ("suggested_label", pa.string()),
        ("label_score", pa.float32()),
        ("suggested_score", pa.float32()),
    ],
    metadata={"schema": "label_issues/1"},
)
# Pictures that a person should look at, the first first.
REVIEW = pa.schema(
    [
        ("rank", pa.int32()),
        ("image_id", pa.string()),
        ("path", pa.string()),
        ("path_bytes", pa.binary()),
        ("label", pa.string()),  # that it was given; null where it has none
        ("suggested_label", pa.string()),
        ("score", pa.float32()),  # of the suggestion, 0..1
        ("doubt", pa.float32()),  # 0..1: how near the second class is, or how little the model believes the label
        ("reasons", pa.list_(pa.string())),
        ("model_name", pa.string()),
        ("bundle_sha256", pa.string()),
        ("site", pa.string()),
    ],
    metadata={"schema": "review/1"},
)
# Pictures as they lie together without labels.
EXPLORED = pa.schema(
    [
        ("image_id", pa.string()),
        ("path", pa.string()),
        ("path_bytes", pa.binary()),
        ("cluster", pa.int32()),  # 0 is the largest; -1 for none
        ("closeness", pa.float32()),  # 0..1, 1 at the centre of the cluster
        ("outlier_score", pa.float32()),  # distance to the tenth neighbour over its median
        ("is_outlier", pa.bool_()),
        ("copy_of", pa.string()),  # path of an earlier picture that looks the same; null where there is none
        ("map_x", pa.float32()),  # 0..1; not a number where it is not drawn
        ("map_y", pa.float32()),
        ("label_order", pa.int32()),  # 1 is to be labelled first; null where it can wait
    ],
    metadata={"schema": "explored/1"},
)
EVALUATION = pa.schema(
    [
        ("image_id", pa.string()),
        ("path", pa.string()),
        ("label", pa.string()),  # null in multi-label data
        ("labels", pa.list_(pa.string())),  # multi-label data only
        ("group_id", pa.string()),
        ("slices", pa.map_(pa.string(), pa.string())),
        ("brightness", pa.float32()),
        ("contrast", pa.float32()),
        ("probabilities", pa.list_(pa.float32())),
        ("width_px", pa.int32()),  # from here on as the scan found it; null in tables of evaluation/2
        ("height_px", pa.int32()),
        ("mode", pa.string()),
        ("sharpness", pa.float32()),
        ("ood_score", pa.float32()),  # null too where the model cannot tell
        ("detail", pa.float32()),  # mean difference of neighbouring pixels as the network sees them, 0..1
    ],
    metadata={"schema": "evaluation/4"},
)
# Columns that earlier versions of a schema did not have, one version after the other: there they read as null.
_ADDED: Final = {
    "manifest/3": (("label_source",),),
    "split/3": (("label_source",),),
    "evaluation/4": (("width_px", "height_px", "mode", "sharpness", "ood_score"), ("detail",)),
    "planned/2": (("known_sha256",),),
    "predictions/4": (("probabilities",), ("detail", "width_px", "height_px")),
}
# Pictures with what the served model says of them, by which a machine shows that it answers as the one that trained.
GOLDEN = pa.schema(
    [
        ("picture", pa.binary()),  # a whole file, as a folder would hold it
        ("pixels_sha256", pa.string()),  # of the uint8 array that the preprocessing contract makes of it
        ("probabilities", pa.list_(pa.float32())),
    ],
    metadata={"schema": "golden/1"},
)
PREDICTIONS = pa.schema(
    [
        ("path", pa.string()),
        ("path_bytes", pa.binary()),
        ("sha256", pa.string()),
        ("size_bytes", pa.int64()),
        ("status", pa.string()),
        ("reason", pa.string()),
        ("label", pa.string()),  # the best one, even where a multi-label model gives none
        ("labels", pa.list_(pa.string())),  # multi-label models only: those of 0.5 or more, best first
        ("score", pa.float32()),
        (
            "margin",
            pa.float32(),
        ),  # best score less the second; multi-label: of the decision nearest to 0.5, yes less no
        ("top_labels", pa.list_(pa.string())),
        ("top_scores", pa.list_(pa.float32())),
        ("prediction_set", pa.list_(pa.string())),
        ("abstained", pa.bool_()),
        ("ood_score", pa.float32()),
        ("brightness", pa.float32()),
        ("contrast", pa.float32()),
        ("site", pa.string()),
        ("model_name", pa.string()),
        ("bundle_sha256", pa.string()),
        ("plan_id", pa.string()),
        ("run_id", pa.string()),
        ("scored_at", pa.timestamp("us", tz="UTC")),
        ("probabilities", pa.list_(pa.float32())),  # of all classes in the model's order; null unless asked for
        ("detail", pa.float32()),  # mean difference of neighbouring pixels as the network sees them, 0..1
        ("width_px", pa.int32()),  # of the upright picture
        ("height_px", pa.int32()),
    ],
    metadata={"schema": "predictions/4"},
)


def table_of(rows: Sequence[Mapping[str, Any]], schema: pa.Schema) -> pa.Table:
    """Rows as a table of the schema; a missing key is null."""
    return pa.Table.from_pylist(list(rows), schema=schema)


def columns_batch(columns: Sequence[Sequence[Any]], schema: pa.Schema) -> pa.RecordBatch:
    """A record batch of the schema from its columns; many times faster than from rows."""
    arrays = [pa.array(values, field.type) for values, field in zip(columns, schema, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def write_batches(path: Path, batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> int:
    """Number of rows written to `path` as parquet, one row group a batch, in the memory of one batch.

    Equal batches give equal bytes; every page carries a checksum.
    """
    rows = 0
    with pq.ParquetWriter(path, schema, **_PARQUET) as writer:
        for batch in batches:
            writer.write_batch(pa.RecordBatch.from_arrays(batch.columns, schema=schema))
            rows += batch.num_rows
    return rows


def read_batches(path: Path, schema: pa.Schema, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
    """Record batches of a parquet file, one a row group, of all columns or the named ones."""
    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        require_columns(file.schema_arrow, schema)
        for group in range(file.num_row_groups):
            yield from file.read_row_group(group, columns).combine_chunks().to_batches()


def encode_table(table: pa.Table) -> bytes:
    """Parquet bytes of a table; equal tables give equal bytes, and every page carries a checksum."""
    sink = io.BytesIO()
    pq.write_table(table, sink, **_PARQUET)
    return sink.getvalue()


def decode_table(data: bytes, schema: pa.Schema) -> pa.Table:
    """The table in Parquet bytes; columns that its version did not have yet are null.

    Raises:
        ContractBroken: its columns are not those of `schema`.
    """
    try:
        table = pq.ParquetFile(io.BytesIO(data), page_checksum_verification=True).read()
    except (pa.ArrowInvalid, OSError) as error:
        raise ContractBroken(
            f"a table does not read as parquet: {error}",
            f"the columns of {_title(schema)}",
            "Delete the file and run the same command again.",
        ) from error
    table = _completed(table, schema)
    require_columns(table.schema, schema)
    return table


def _completed(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The table itself, or one of an earlier version with nulls in the columns that it lacks."""
    versions = _ADDED.get(_title(schema), ())
    for first in range(len(versions)):
        lacking = [name for names in versions[first:] for name in names]
        if table.schema.equals(pa.schema([f for f in schema if f.name not in lacking])):
            nulls = {name: pa.nulls(table.num_rows, schema.field(name).type) for name in lacking}
            columns = [nulls[name] if name in nulls else table[name] for name in schema.names]
            return pa.table(columns, schema=_with_metadata_of(schema, table))
    return table


def _with_metadata_of(schema: pa.Schema, table: pa.Table) -> pa.Schema:
    """The schema with what a table tells beside its version, such as the settings that it was made by."""
    told = {k: v for k, v in (table.schema.metadata or {}).items() if k != b"schema"}
    return schema.with_metadata({**(schema.metadata or {}), **told})


def require_columns(found: pa.Schema, schema: pa.Schema) -> None:
    """Refuses other columns or types than those of `schema`.

    Raises:
        ContractBroken: naming both.
    """
    if not found.equals(schema, check_metadata=False):
        raise ContractBroken(
            f"a table of {_title(found)} has columns {', '.join(f'{f.name} {f.type}' for f in found)}",
            f"the columns of {_title(schema)}: {', '.join(f'{f.name} {f.type}' for f in schema)}",
            "Use the Sortline version that wrote it, or have this one make it anew.",
        )


def _title(schema: pa.Schema) -> str:
    title: bytes = (schema.metadata or {}).get(b"schema", b"an unnamed schema")
    return title.decode()
