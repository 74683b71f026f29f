"""Reading predictions as they count: what the commit log names, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from models.artifacts.places import place_of
from models.artifacts.records import ScoreSummary
from models.artifacts.tables import PREDICTIONS
from models.errors import SettingsError
from models.serving.commit import OutputStore
from models.serving.known_files import name_keys

_NAMES = ("path", "path_bytes")


def open_output(out: Path) -> OutputStore:
    """The output at `out`.

    Raises:
        SettingsError: there is none.
    """
    if not (out / "_commits").is_dir():
        raise SettingsError(f"{out} holds no predictions", "the --out of a scoring run", "Run sortline score first.")
    return OutputStore(out)


def prediction_paths(out: Path) -> list[Path]:
    """Parquet files whose rows count, oldest rows first: for readers of their own."""
    return open_output(out).paths()


def read_predictions(
    out: Path, columns: Sequence[str] | None = None, *, bundle_sha256: str | None = None, newest: bool = True
) -> pa.Table:
    """Table PREDICTIONS of an output, or some columns of it; files that were altered refuse.

    Args:
        out: the output.
        columns: names of those that are wanted; None: all.
        bundle_sha256: of the model whose rows are wanted; None: of all.
        newest: only the newest row of every path.
    """
    empty = PREDICTIONS.empty_table()
    tables = list(prediction_tables(open_output(out), columns, bundle_sha256=bundle_sha256, newest=newest))
    return pa.concat_tables([empty.select(columns) if columns else empty, *tables])


def prediction_tables(
    store: OutputStore, columns: Sequence[str] | None = None, *, bundle_sha256: str | None = None, newest: bool = True
) -> Iterator[pa.Table]:
    """The same, one table a part, in the memory of one part and 16 bytes a row."""
    if not newest:
        yield from store.tables(bundle_sha256, columns)
        return
    wanted = list(columns or PREDICTIONS.names)
    seen: set[bytes] = set()
    for table in store.tables(bundle_sha256, list(dict.fromkeys([*wanted, *_NAMES])), newest_first=True):
        kept = []
        for k, key in reversed(list(enumerate(name_keys(table)))):
            if key not in seen:
                seen.add(key)
                kept.append(k)
        yield table.take(pa.array(sorted(kept), pa.int64())).select(wanted)


def scored_batch(summary: ScoreSummary) -> pa.Table:
    """Rows of the plans that a summary names."""
    rows = OutputStore(place_of(summary.out)).read(summary.bundle_sha256)
    return rows.filter(pc.is_in(rows["plan_id"], pa.array(summary.plan_ids, pa.string())))
