"""Predictions as CSV, for spreadsheets: safe to open whatever a file or a class is called."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from models.artifacts.durable import write_durably_from
from models.artifacts.tables import PREDICTIONS
from models.serving.commit import OutputStore
from models.serving.reader import prediction_tables

# Bytes of names have no place in a table of text.
COLUMNS = tuple(name for name in PREDICTIONS.names if name != "path_bytes")
# What a spreadsheet takes for the beginning of a formula (OWASP, CSV injection).
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
_JOINED, _ESCAPE = "|", "\\"


def write_csv(store: OutputStore, target: Path, *, newest: bool = True) -> int:
    """Number of rows written to `target`, which appears whole or not at all.

    Args:
        store: the output.
        target: of the table; replaced where it exists.
        newest: only the newest row of every path.
    """
    rows = 0

    def chunks() -> Iterator[bytes]:
        nonlocal rows
        yield _lines([list(COLUMNS)])
        for table in prediction_tables(store, COLUMNS, newest=newest):
            found = [[cell(value) for value in row.values()] for row in table.to_pylist()]
            rows += len(found)
            yield _lines(found)

    write_durably_from(target, chunks())
    return rows


def cell(value: Any) -> str:
    r"""A value as the text of one cell.

    Numbers stay numbers. Text that a spreadsheet would compute gets a leading apostrophe. Lists are joined by `|`; a
    `|` or a backslash inside an item gets a backslash before it.

    Example:
        >>> cell("=1+1"), cell(-0.5), cell(["a|b", "c"]), cell(None)
        ("'=1+1", '-0.5', 'a\\|b|c', '')
    """
    if value is None:
        return ""
    if isinstance(value, list):
        return _guarded(_JOINED.join(_escaped(str(item)) for item in value)) if value else ""
    if isinstance(value, str):
        return _guarded(value)
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _guarded(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text


def _escaped(item: str) -> str:
    return item.replace(_ESCAPE, _ESCAPE * 2).replace(_JOINED, _ESCAPE + _JOINED)


def _lines(rows: list[list[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue().encode("utf-8", "backslashreplace")
