"""Arrow schemas of every table, and the one way to read and write them."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from models.errors import ContractBroken

MANIFEST = pa.schema(
    [
        ("image_id", pa.string()),  # sha256 of the bytes that were decoded; null where none were read
        ("path", pa.string()),  # relative to the folder, posix; bytes that are not UTF-8 as \xNN
        ("path_bytes", pa.binary()),  # null unless the name is not UTF-8
        ("label", pa.string()),  # null where the layout gives none
        ("group_id", pa.string()),  # what may not straddle splits; the picture's own digest by default
        ("slices", pa.map_(pa.string(), pa.string())),  # the user's own columns, by which scores are cut
        ("status", pa.string()),
        ("reason", pa.string()),
        ("size_bytes", pa.int64()),
        ("width_px", pa.int32()),
        ("height_px", pa.int32()),
        ("format", pa.string()),
        ("mode", pa.string()),
        ("brightness", pa.float32()),  # mean luminance, 0..1
        ("contrast", pa.float32()),  # standard deviation of luminance, 0..1
    ],
    metadata={"schema": "manifest/1"},
)
SPLIT = pa.schema([*MANIFEST, ("split", pa.string())], metadata={"schema": "split/1"})
RESAMPLE_PLAN = pa.schema(
    [("image_id", pa.string()), ("label", pa.string()), ("draw_weight", pa.float64())],
    metadata={"schema": "resample_plan/1"},
)
EVALUATION = pa.schema(
    [
        ("image_id", pa.string()),
        ("path", pa.string()),
        ("label", pa.string()),
        ("group_id", pa.string()),
        ("slices", pa.map_(pa.string(), pa.string())),
        ("brightness", pa.float32()),
        ("contrast", pa.float32()),
        ("probabilities", pa.list_(pa.float32())),
    ],
    metadata={"schema": "evaluation/1"},
)
PREDICTIONS = pa.schema(
    [
        ("path", pa.string()),
        ("path_bytes", pa.binary()),
        ("sha256", pa.string()),
        ("size_bytes", pa.int64()),
        ("status", pa.string()),
        ("reason", pa.string()),
        ("label", pa.string()),
        ("score", pa.float32()),
        ("margin", pa.float32()),
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
    ],
    metadata={"schema": "predictions/1"},
)


def table_of(rows: Sequence[Mapping[str, Any]], schema: pa.Schema) -> pa.Table:
    """Rows as a table of the schema; a missing key is null."""
    return pa.Table.from_pylist(list(rows), schema=schema)


def encode_table(table: pa.Table) -> bytes:
    """Parquet bytes of a table; equal tables give equal bytes, and every page carries a checksum."""
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd", compression_level=1, write_page_checksum=True, store_schema=True)
    return sink.getvalue()


def decode_table(data: bytes, schema: pa.Schema) -> pa.Table:
    """The table in Parquet bytes.

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
    if not table.schema.equals(schema, check_metadata=False):
        found = ", ".join(f"{f.name} {f.type}" for f in table.schema)
        raise ContractBroken(
            f"a table has columns {found}",
            f"the columns of {_title(schema)}: {', '.join(f'{f.name} {f.type}' for f in schema)}",
            "Use the Sortline version that wrote it.",
        )
    return table


def _title(schema: pa.Schema) -> str:
    title: bytes = (schema.metadata or {}).get(b"schema", b"this schema")
    return title.decode()
