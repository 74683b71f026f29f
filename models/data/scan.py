"""From a listed folder to a manifest: one row a file, with its digest, its label and its condition."""

from __future__ import annotations

import csv
import io
import os
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic import Field

from models.artifacts.tables import MANIFEST, table_of
from models.data.decode import DecodeLimits, read_file, read_picture
from models.data.listing import SIDECAR_NAME, file_name
from models.errors import DataError, EmptyFolder, UnreadableImage
from models.parallel import OnProgress, map_in_threads, no_progress
from models.settings import Settings


class ScanSettings(Settings):
    """How a folder is read."""

    limits: DecodeLimits = Field(default=DecodeLimits(), title="Limits", description="What one file may cost.")


def scan_folder(
    folder: Path, listing: pa.Table, settings: ScanSettings, on_progress: OnProgress = no_progress
) -> pa.Table:
    """Table MANIFEST of a folder, one row an entry of `listing`, in its order.

    The label is the first folder of a path. A file `slices.csv` in the folder adds the columns by which scores
    are cut: `path` and any others.

    Raises:
        DataError: `slices.csv` has no column `path`.
        EmptyFolder: the folder holds no picture that decodes.
    """
    slices = read_slices(folder)
    entries = listing.to_pylist()
    rows = []
    for row in map_in_threads(partial(_scan_entry, folder, settings.limits), entries):
        rows.append({**row, "slices": sorted(slices.get(row["path"], {}).items())})
        on_progress(len(rows), len(entries))
    if not any(row["status"] == "ok" for row in rows):
        raise EmptyFolder(
            f"{folder} holds no picture that decodes ({len(rows)} files of any kind)",
            "JPEG, PNG, BMP, GIF, TIFF or WebP files in one folder a class",
            "Check the path.",
        )
    return table_of(rows, MANIFEST)


def read_slices(folder: Path) -> dict[str, dict[str, str]]:
    """Columns of `slices.csv` by path; empty where there is no such file."""
    try:
        text = read_file(folder / SIDECAR_NAME, 64_000_000).decode("utf-8-sig")
        rows = list(csv.DictReader(io.StringIO(text, newline="")))
    except UnreadableImage as error:
        if error.status == "vanished":
            return {}
        raise _unreadable_slices(folder, f"{error.status}: {error.reason}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise _unreadable_slices(folder, str(error)) from error
    if rows and "path" not in rows[0]:
        raise DataError(
            f"{folder / SIDECAR_NAME} has columns {', '.join(rows[0])}",
            "a column `path` with paths relative to the folder",
            "Rename the column or remove the file.",
        )
    named = [row for row in rows if row["path"]]
    return {row["path"]: {k: v for k, v in row.items() if k and k != "path" and v} for row in named}


def _unreadable_slices(folder: Path, why: str) -> DataError:
    return DataError(
        f"{folder / SIDECAR_NAME} cannot be read ({why})", "a CSV table in UTF-8", "Mend or remove the file."
    )


def _scan_entry(folder: Path, limits: DecodeLimits, entry: dict[str, Any]) -> dict[str, Any]:
    name = file_name(entry)
    row = {
        "path": entry["path"],
        "path_bytes": entry["path_bytes"],
        "size_bytes": entry["size_bytes"],
        "label": entry["path"].split("/")[0] if "/" in entry["path"] else None,
        "status": entry["status"],
        "reason": entry["reason"],
    }
    if entry["status"] is not None:
        return row
    try:
        picture = read_picture(os.path.join(folder, name), limits)  # noqa: PTH118 - keeps surrogates as they are
    except UnreadableImage as error:
        return {**row, "status": error.status, "reason": error.reason}
    return {
        **row,
        "status": "ok",
        "image_id": picture.sha256,
        "group_id": picture.sha256,
        "size_bytes": picture.size_bytes,
        "width_px": picture.rgb.width,
        "height_px": picture.rgb.height,
        "format": picture.format,
        "mode": picture.mode,
        "brightness": picture.brightness,
        "contrast": picture.contrast,
    }
