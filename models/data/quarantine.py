"""Files to leave out: a list by path and digest, and, only where one asks for it, moving them away."""

from __future__ import annotations

import csv
import io
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from models.artifacts.durable import make_folder, storage_errors, sync_folder, write_durably
from models.data.listing import file_name
from models.errors import DataError

_COLUMNS = ("path", "sha256", "rules")


def read_quarantine(path: str) -> set[tuple[str, str]]:
    """Pairs of path and digest that a list leaves out; a file that was mended since is let in again.

    Raises:
        DataError: it cannot be read or has no columns path and sha256.
    """
    if not path:
        return set()
    try:
        with Path(path).open(encoding="utf-8", newline="") as file:
            return {(row["path"], row["sha256"]) for row in csv.DictReader(file)}
    except (OSError, UnicodeDecodeError, csv.Error, KeyError) as error:
        raise DataError(
            f"quarantine list {path} cannot be read ({error!r})",
            "a CSV table in UTF-8 with columns path and sha256",
            "Write it with sortline audit --quarantine.",
        ) from error


def write_quarantine(path: Path, offenders: pa.Table, rules: Iterable[str]) -> list[dict[str, Any]]:
    """The files that broke one of `rules`, one row each, after writing them to the list at `path`.

    A list that is already there is added to, so that what an earlier audit left out stays out.
    """
    wanted = set(rules)
    listed = dict.fromkeys(sorted(read_quarantine(str(path))), "") if path.exists() else {}
    found: dict[tuple[str, str], str] = {}
    for row in offenders.to_pylist():
        if row["rule"] in wanted:
            key = (row["path"], row["image_id"] or "")
            found[key] = f"{found[key]} {row['rule']}" if key in found else row["rule"]
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(_COLUMNS)
    for (name, sha256), why in {**listed, **found}.items():
        table.writerow([name, sha256, why])
    write_durably(path, text.getvalue().encode())
    return [{"path": name, "sha256": sha256, "rules": why} for (name, sha256), why in found.items()]


def move_files(folder: Path, target: Path, rows: Iterable[Mapping[str, Any]]) -> int:
    """Number of files moved from `folder` to the same relative path below `target`.

    Nothing is replaced and nothing is followed: a name that is taken refuses before any file is moved.

    Raises:
        DataError: a file of that name is there already.
        StorageError: a file cannot be moved; those before it have been.
    """
    pairs = [(folder / file_name(dict(row)), target / file_name(dict(row))) for row in rows]
    taken = [str(new) for _, new in pairs if os.path.lexists(new)]
    if taken:
        raise DataError(
            f"{len(taken)} files are in {target} already, first {taken[0]}", "free names", "Choose another folder."
        )
    for old, new in pairs:
        make_folder(new.parent)
        with storage_errors(old, "moved"):
            shutil.move(old, new)
            with new.open("rb") as file:
                os.fsync(file.fileno())
            sync_folder(new.parent)
            sync_folder(old.parent)
    return len(pairs)
