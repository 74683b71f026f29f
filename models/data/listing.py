"""What lies in a folder: one entry a file, in a fixed order, nothing followed and nothing left out.

The walk streams: it holds the names of one folder at a time, packed where there are very many.
"""

from __future__ import annotations

import hashlib
import heapq
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, cast

import pyarrow as pa

from models.artifacts.durable import storage_errors
from models.artifacts.places import holds, is_stored
from models.artifacts.tables import columns_batch
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
LABEL_TABLES = ("labels.csv", "labels.parquet", "labels.jsonl")
SLICES_TABLE, CORRECTIONS_TABLE = "slices.csv", "corrections.csv"
SIDECARS = frozenset({*LABEL_TABLES, SLICES_TABLE, CORRECTIONS_TABLE})
SYSTEM_NAMES = frozenset({"thumbs.db", "desktop.ini", "__macosx"})
BATCH_ROWS = 8192
_PACKED_RUN = 50_000


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
    if is_stored(folder):
        return folder
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
    if holds(folder, place):
        raise SettingsError(
            f"{place} lies inside the folder of pictures {folder}",
            "a place of its own for what Sortline writes",
            "Choose another --workspace or --out.",
        )


def list_entries(folder: Path, written_before_ns: int | None = None) -> Iterator[Entry]:
    """Every file below `folder`, depth first, sorted by the bytes of the names inside each folder.

    Args:
        folder: where to look.
        written_before_ns: a file that was written at this time or later may still be being copied, and is
            `changed`, `still_written`.
    """
    for found in _walked(partial(_children, os.fsencode(folder))):
        if found.status is None and written_before_ns is not None and found.mtime_ns >= written_before_ns:
            yield found._replace(status="changed", reason="still_written")
        else:
            yield found


def listing_batches(
    folder: Path, written_before_ns: int | None = None, rows: int = BATCH_ROWS
) -> Iterator[pa.RecordBatch]:
    """Record batches of schema LISTING, in the order of `list_entries`."""
    place = require_folder(folder)
    entries = list_objects(place) if is_stored(place) else list_entries(place, written_before_ns)
    while part := list(islice(entries, rows)):
        names, *rest = zip(*part, strict=True)
        paths, raws = zip(*map(safe_name, names), strict=True)
        yield columns_batch([paths, raws, *rest], LISTING)


def list_objects(folder: Path) -> Iterator[Entry]:
    """Every object below an address, in the same order as files; folders that hold none do not exist there.

    What stands for the inode is the store's own tag of the bytes: the time of an object is only told in seconds.
    """
    return _walked(partial(_objects, cast("Any", folder)))


def listing_table(folder: Path) -> pa.Table:
    """Table LISTING of every file below `folder`."""
    return pa.Table.from_batches(listing_batches(folder), LISTING)


def folder_key(folder: Path) -> str:
    """A file name that stands for a folder: its own name made plain, and a part of its path's digest."""
    plain = re.sub(r"[^a-z0-9]+", "-", folder.name.lower()).strip("-")[:40] or "folder"
    return f"{plain}-{hashlib.sha256(str(folder).encode('utf-8', 'surrogateescape')).hexdigest()[:8]}"


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


def _walked(children: Callable[[str], Iterator[Entry | str]]) -> Iterator[Entry]:
    """Files depth first; `children` gives those of one folder, and its folders as the prefix to go on with."""
    waiting = [children("")]
    while waiting:
        found = next(waiting[-1], None)
        if found is None:
            waiting.pop()
        elif isinstance(found, str):
            waiting.append(children(found))
        else:
            yield found


def _children(root: bytes, prefix: str) -> Iterator[Entry | str]:
    """Files of one folder as entries, and its folders as the prefix to go on with."""
    place = os.path.join(root, os.fsencode(prefix))  # noqa: PTH118 - bytes names
    try:
        with os.scandir(place) as found:
            names = _sorted_names(child.name for child in found)
    except OSError:
        yield Entry(prefix.rstrip("/"), 0, 0, 0, 0, "denied", "unreadable_folder")
        return
    for raw in names:
        name = os.fsdecode(raw)
        try:
            status = os.stat(os.path.join(place, raw), follow_symlinks=False)  # noqa: PTH116, PTH118
        except PermissionError:
            yield Entry(f"{prefix}{name}", 0, 0, 0, 0, "denied", "permission_denied")
            continue
        except OSError:
            yield Entry(f"{prefix}{name}", 0, 0, 0, 0, "vanished", "vanished")
            continue
        if stat.S_ISDIR(status.st_mode) and not _is_system(name):
            yield f"{prefix}{name}/"
        else:
            yield _entry(prefix, name, status)


def _objects(store: Any, prefix: str) -> Iterator[Entry | str]:
    """Objects of one folder as entries, and its folders as the prefix to go on with."""
    place = f"{store.path.rstrip('/')}/{prefix}"
    with storage_errors(store, "listed"):
        try:
            found = store.fs.ls(place, detail=True)
        except FileNotFoundError:
            if prefix:
                return
            raise
    named = [(str(entry["name"]).rstrip("/").rpartition("/")[2], entry) for entry in found]
    for name, entry in sorted(named, key=lambda pair: os.fsencode(pair[0])):
        if entry["type"] == "directory":
            if not _is_system(name):
                yield f"{prefix}{name}/"
        # Some tools stand for a folder by an empty object of its name.
        elif name and entry["name"].rstrip("/") != place.rstrip("/"):
            yield _object_entry(prefix, name, entry)


def _object_entry(prefix: str, name: str, found: dict[str, Any]) -> Entry:
    reason = _reason_to_ignore(prefix, name, stat.S_IFREG)
    written = found.get("LastModified") or found.get("mtime") or found.get("last_modified") or found.get("created")
    mtime_ns = int(written.timestamp() * 1e9) if isinstance(written, datetime) else 0
    tag = found.get("ETag") or found.get("etag") or found.get("md5Hash") or ""
    inode = int.from_bytes(hashlib.blake2b(str(tag).encode(), digest_size=8).digest()) if tag else 0
    return Entry(f"{prefix}{name}", int(found["size"]), mtime_ns, 0, inode, "ignored" if reason else None, reason)


def _sorted_names(names: Iterable[bytes]) -> Iterable[bytes]:
    """Names in the order of their bytes; of a folder of millions they are kept as packed runs of 50,000."""
    names = iter(names)
    runs: list[bytes] = []
    while len(part := sorted(islice(names, _PACKED_RUN))) == _PACKED_RUN:
        runs.append(b"\0".join(part))
    return heapq.merge(part, *map(_unpacked, runs)) if runs else part


def _unpacked(run: bytes) -> Iterator[bytes]:
    start = 0
    while (end := run.find(b"\0", start)) >= 0:
        yield run[start:end]
        start = end + 1
    yield run[start:]


def _entry(prefix: str, name: str, found: os.stat_result) -> Entry:
    reason = _reason_to_ignore(prefix, name, found.st_mode)
    return Entry(
        f"{prefix}{name}",
        found.st_size,
        found.st_mtime_ns,
        found.st_ctime_ns,
        found.st_ino,
        "ignored" if reason else None,
        reason,
    )


def _reason_to_ignore(prefix: str, name: str, mode: int) -> str | None:
    if _is_system(name):
        return "system_file"
    if stat.S_ISLNK(mode):
        return "symlink"
    if not stat.S_ISREG(mode):
        return "not_a_file"
    return "sidecar" if not prefix and name in SIDECARS else None


def _is_system(name: str) -> bool:
    return name.startswith(".") or name.casefold() in SYSTEM_NAMES
