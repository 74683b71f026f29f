"""What lies in a folder: one entry a file, in a fixed order, nothing followed and nothing left out."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from models.artifacts.durable import storage_errors
from models.artifacts.tables import table_of
from models.errors import SettingsError

LISTING = pa.schema(
    [
        ("path", pa.string()),
        ("path_bytes", pa.binary()),
        ("size_bytes", pa.int64()),
        ("mtime_ns", pa.int64()),
        ("ctime_ns", pa.int64()),
        ("inode", pa.uint64()),
        ("status", pa.string()),  # null where the file is to be read
        ("reason", pa.string()),
    ],
    metadata={"schema": "listing/1"},
)
SIDECAR_NAME = "slices.csv"
SYSTEM_NAMES = frozenset({"thumbs.db", "desktop.ini", "__macosx"})


class Entry(NamedTuple):
    """One file. `name` is relative and posix; bytes that are not UTF-8 are kept as surrogates."""

    name: str
    size_bytes: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    status: str | None
    reason: str | None


def require_folder(folder: Path) -> Path:
    """The folder, absolute.

    Raises:
        SettingsError: it does not exist or is not a folder.
        StorageError: it may not be listed.
    """
    if not folder.is_dir():
        found = f"{folder} is a file" if folder.exists() else f"folder {folder} does not exist"
        raise SettingsError(found, "a folder of pictures", "Check the path.")
    with storage_errors(folder, "listed"), os.scandir(folder):
        return folder.absolute()


def require_apart(folder: Path, place: Path) -> None:
    """Refuses a place for Sortline's own files inside the folder that it reads.

    Raises:
        SettingsError: what is written there would be found as new files by the next run.
    """
    if place.resolve().is_relative_to(folder.resolve()):
        raise SettingsError(
            f"{place} lies inside the folder of pictures {folder}",
            "a place of its own for what Sortline writes",
            "Choose another --workspace or --out.",
        )


def list_entries(folder: Path) -> Iterator[Entry]:
    """Every file below `folder`, sorted by name inside each folder."""
    return _walk(str(folder), "")


def listing_table(folder: Path) -> pa.Table:
    """Table LISTING of every file below `folder`."""
    return table_of([_row(entry) for entry in list_entries(require_folder(folder))], LISTING)


def safe_name(name: str) -> tuple[str, bytes | None]:
    r"""A file name as UTF-8 text, and its bytes where the text alone does not give them back.

    Example:
        >>> safe_name("a\udcff.png")
        ('a\\xff.png', b'a\xff.png')
    """
    try:
        name.encode()
    except UnicodeEncodeError:
        raw = os.fsencode(name)
        return raw.decode("utf-8", "backslashreplace"), raw
    return name, None


def file_name(row: dict[str, Any]) -> str:
    """The name to open a file by, from a row that has `path` and `path_bytes`."""
    return os.fsdecode(row["path_bytes"]) if row["path_bytes"] is not None else str(row["path"])


def _walk(root: str, prefix: str) -> Iterator[Entry]:
    try:
        with os.scandir(os.path.join(root, prefix)) as found:  # noqa: PTH118 - Path drops surrogate speed
            children = sorted(found, key=lambda child: os.fsencode(child.name))
    except OSError:
        yield Entry(prefix.rstrip("/"), 0, 0, 0, 0, "denied", "unreadable_folder")
        return
    for child in children:
        if child.is_dir(follow_symlinks=False) and not _is_system(child.name):
            yield from _walk(root, f"{prefix}{child.name}/")
        else:
            yield _entry(child, f"{prefix}{child.name}")


def _entry(child: os.DirEntry[str], name: str) -> Entry:
    try:
        found = child.stat(follow_symlinks=False)
    except OSError:
        return Entry(name, 0, 0, 0, 0, "vanished", "vanished")
    status, reason = None, _reason_to_ignore(child.name, found.st_mode)
    if reason is not None:
        status = "ignored"
    return Entry(name, found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino, status, reason)


def _reason_to_ignore(name: str, mode: int) -> str | None:
    if _is_system(name):
        return "system_file"
    if stat.S_ISLNK(mode):
        return "symlink"
    if not stat.S_ISREG(mode):
        return "not_a_file"
    return "sidecar" if name == SIDECAR_NAME else None


def _is_system(name: str) -> bool:
    return name.startswith(".") or name.casefold() in SYSTEM_NAMES


def _row(entry: Entry) -> dict[str, Any]:
    path, raw = safe_name(entry.name)
    return {**entry._asdict(), "path": path, "path_bytes": raw}
