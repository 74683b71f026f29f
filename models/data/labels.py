"""Where labels come from: folders, a table beside the pictures, or nowhere."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet as pq

from models.data.corrections import Correction, known_corrections
from models.data.listing import LABEL_TABLES, SLICES_TABLE
from models.errors import DataError

Layout = Literal["auto", "class_folders", "split_folders", "flat"]
SPLIT_WORDS = {
    "train": "train",
    "training": "train",
    "tune": "tune",
    "val": "tune",
    "valid": "tune",
    "validation": "tune",
    "dev": "tune",
    "test": "test",
    "testing": "test",
}
LABELS_SEPARATOR = "|"
LABELLED = pa.schema(
    [
        ("label", pa.string()),
        ("labels", pa.list_(pa.string())),
        ("given_group", pa.string()),
        ("given_split", pa.string()),
        ("weight", pa.float64()),
        ("slices", pa.map_(pa.string(), pa.string())),
        ("label_source", pa.string()),
    ]
)
BY_FOLDERS, BY_TABLE = "folders", "table"
_COLUMNS = {"label": "label", "labels": "labels", "group": "given_group", "split": "given_split", "weight": "weight"}
_NAMED_BAD = 5


class LabelTable(NamedTuple):
    """What a table says of paths.

    Attributes:
        rows: the columns of LABELLED.
        place_of: row of each path.
        has_labels: whether it names classes; otherwise the folders do.
        seen: (rows,) which of its paths were found in the folder; written as they are looked up.
    """

    rows: pa.Table
    place_of: dict[str, int]
    has_labels: bool
    seen: np.ndarray[tuple[int], np.dtype[np.bool_]]


class LabelSource(NamedTuple):
    """Label, group, split, weight and slices of every path of a folder.

    Attributes:
        corrections: what people said of pictures, by the digest of the picture.
    """

    layout: Layout
    tables: tuple[LabelTable, ...]
    corrections: Mapping[str, Correction] = {}

    def describe(self, paths: Sequence[str]) -> pa.Table:
        """Table LABELLED of the paths, in their order."""
        by_table = any(table.has_labels for table in self.tables)
        given = [_by_folder(path, "flat" if by_table else self.layout) for path in paths]
        columns: dict[str, pa.Array | pa.ChunkedArray] = {
            "label": pa.array([label for label, _ in given], pa.string()),
            "given_split": pa.array([split for _, split in given], pa.string()),
        }
        for table in self.tables:
            for name, values in _looked_up(table, paths).items():
                columns[name] = pc.coalesce(values, columns[name]) if name in columns else values
        nulls = {field.name: pa.nulls(len(paths), field.type) for field in LABELLED}
        is_labelled = [pc.is_valid(columns.get(name, nulls[name])) for name in ("label", "labels")]
        source = pa.scalar(BY_TABLE if by_table else BY_FOLDERS)
        columns["label_source"] = pc.if_else(pc.or_(*is_labelled), source, pa.scalar(None, pa.string()))
        return pa.table([{**nulls, **columns}[name] for name in LABELLED.names], schema=LABELLED)

    def unseen(self) -> list[str]:
        """Paths that a table names and that `describe` was never asked for, in the order of the tables."""
        found = [path for table in self.tables for path, place in table.place_of.items() if not table.seen[place]]
        return list(dict.fromkeys(found))


def open_labels(folder: Path, layout: Layout, table: str = "", corrections: str = "") -> LabelSource:
    """The source of a folder's labels.

    Args:
        folder: the pictures.
        layout: `auto` takes folders named train, val, test as a division, and other folders as classes.
        table: a CSV, parquet or JSON lines file; empty takes `labels.csv`, `labels.parquet` or `labels.jsonl` in
            the folder if there is one. `slices.csv` in the folder is read besides.
        corrections: a file of them; empty: only `corrections.csv` in the folder, if there is one.

    Raises:
        DataError: a table that does not read, or whose rows do not make sense.
    """
    names = [Path(table)] if table else [folder / name for name in LABEL_TABLES if (folder / name).is_file()]
    if len(names) > 1:
        raise DataError(
            f"{folder} holds {' and '.join(path.name for path in names)}", "one table of labels", "Remove one of them."
        )
    names += [folder / SLICES_TABLE] if (folder / SLICES_TABLE).is_file() else []
    chosen: Layout = layout if layout != "auto" else "split_folders" if _has_split_folders(folder) else "class_folders"
    tables = tuple(read_label_table(path) for path in names)
    return LabelSource(chosen, tables, known_corrections(folder, corrections))


def read_label_table(path: Path) -> LabelTable:
    """A table by its path column.

    `label` or `labels` (a list, or text parted by `|`), `group`, `split` and `weight` have a meaning; any other
    column cuts scores into slices.

    Raises:
        DataError: naming every kind of thing that is wrong with it.
    """
    table = _read(path)
    if "path" not in table.column_names:
        raise DataError(
            f"{path} has columns {', '.join(table.column_names)}",
            "a column `path` with paths relative to the folder",
            "Rename the column or remove the file.",
        )
    table = table.filter(pc.greater(pc.fill_null(pc.utf8_length(table["path"].cast(pa.string())), 0), 0))
    paths = [text.removeprefix("./") for text in table["path"].cast(pa.string()).to_pylist()]
    rows = _labelled(path, table)
    _refuse_nonsense(path, paths, rows)
    has_labels = "label" in table.column_names or "labels" in table.column_names
    return LabelTable(rows, {name: k for k, name in enumerate(paths)}, has_labels, np.zeros(len(paths), dtype=bool))


def _read(path: Path) -> pa.Table:
    try:
        if path.suffix == ".parquet":
            return pq.read_table(path)
        if path.suffix in (".jsonl", ".ndjson", ".json"):
            return pa.json.read_json(path)
        return _read_csv(path)
    except (OSError, UnicodeDecodeError, csv.Error, pa.ArrowException) as error:
        raise DataError(
            f"{path} cannot be read ({str(error).splitlines()[0]})",
            "a CSV table in UTF-8, parquet, or JSON lines",
            "Mend or remove the file.",
        ) from error


def _read_csv(path: Path) -> pa.Table:
    """Every column as text: a class named 007 keeps its zeros."""
    data = path.read_bytes()
    header = next(csv.reader(io.StringIO(data.decode("utf-8-sig"), newline="")), [])
    if not header:
        return pa.table({})
    return pa.csv.read_csv(
        io.BytesIO(data),
        parse_options=pa.csv.ParseOptions(newlines_in_values=True),
        convert_options=pa.csv.ConvertOptions(
            column_types=dict.fromkeys(header, pa.string()), null_values=[""], strings_can_be_null=True
        ),
    )


def _labelled(path: Path, table: pa.Table) -> pa.Table:
    columns = {field.name: pa.nulls(table.num_rows, field.type) for field in LABELLED}
    for name, meaning in _COLUMNS.items():
        if name in table.column_names:
            columns[meaning] = _converted(path, name, table[name])
    rest = [name for name in table.column_names if name not in {*_COLUMNS, "path"}]
    if rest:
        texts = [table[name].cast(pa.string()).to_pylist() for name in rest]
        pairs = [
            [(n, v) for n, v in sorted(zip(rest, values, strict=True)) if v] for values in zip(*texts, strict=True)
        ]
        columns["slices"] = pa.array(pairs, LABELLED.field("slices").type)
    return pa.table([columns[name] for name in LABELLED.names], schema=LABELLED)


def _converted(path: Path, name: str, values: pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """A column in the type that its name asks for."""
    wanted = LABELLED.field(_COLUMNS[name]).type
    try:
        if name == "labels" and not pa.types.is_list(values.type):
            parts = [None if text is None else _parted(text) for text in values.cast(pa.string()).to_pylist()]
            return pa.array(parts, wanted)
        if name == "split":
            words = [None if text is None else text.strip().casefold() for text in values.cast(pa.string()).to_pylist()]
            return pa.array([None if word is None else SPLIT_WORDS[word] for word in words], wanted)
        return values.cast(wanted)
    except KeyError as error:
        raise DataError(
            f"{path} has {error} in column split", f"one of {', '.join(SPLIT_WORDS)}", "Mend the column."
        ) from error
    except pa.ArrowException as error:
        raise DataError(
            f"{path} has {error} in column {name}", f"values of type {wanted}", "Mend the column."
        ) from error


def _parted(text: str) -> list[str]:
    return sorted({part.strip() for part in text.split(LABELS_SEPARATOR)} - {""})


def _refuse_nonsense(path: Path, paths: list[str], rows: pa.Table) -> None:
    """Every finding at once, with the first paths that show it."""
    outside = [name for name in paths if name.startswith("/") or ".." in name.split("/")]
    seen: set[str] = set()
    twice = [name for name in paths if name in seen or seen.add(name)]  # type: ignore[func-returns-value]
    is_both = pc.and_(rows["label"].is_valid(), rows["labels"].is_valid()).to_pylist()
    both = [name for name, is_true in zip(paths, is_both, strict=True) if is_true]
    weights = rows["weight"].fill_null(1).to_numpy()
    bad = np.flatnonzero(~np.isfinite(weights) | (weights < 0)).tolist()
    findings = {
        "paths outside the folder": outside,
        "paths named twice": twice,
        "rows with both label and labels": both,
        "weights below zero or not finite": [paths[k] for k in bad],
    }
    said = [f"{len(names)} {what} ({', '.join(names[:_NAMED_BAD])})" for what, names in findings.items() if names]
    if said:
        raise DataError(
            f"{path} has {'; '.join(said)}", "each picture once, by a path relative to the folder", "Mend the rows."
        )


def _looked_up(table: LabelTable, paths: Sequence[str]) -> dict[str, pa.ChunkedArray]:
    """The table's columns for the paths, null where it does not name one."""
    places = [table.place_of.get(path) for path in paths]
    table.seen[[place for place in places if place is not None]] = True
    taken = table.rows.take(pa.array(places, pa.int64()))
    wanted = [name for name in LABELLED.names if table.has_labels or name not in ("label", "labels")]
    return {name: taken[name] for name in wanted if table.rows[name].null_count < table.rows.num_rows}


def _by_folder(path: str, layout: Layout) -> tuple[str | None, str | None]:
    """Label and split that the folders of a path give."""
    parts = path.split("/")[:-1]
    if layout == "class_folders" and parts:
        return parts[0], None
    if layout == "split_folders" and parts:
        return parts[1] if len(parts) > 1 else None, SPLIT_WORDS.get(parts[0].casefold())
    return None, None


def _has_split_folders(folder: Path) -> bool:
    """Whether the folders are named as a division, and no other folder stands beside them."""
    names = [path.name.casefold() for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")]
    splits = {SPLIT_WORDS.get(name) for name in names}
    return None not in splits and "train" in splits and len(splits) > 1
