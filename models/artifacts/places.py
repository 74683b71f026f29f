"""Folders on a disk or in an object store, by their path or address.

What is used of a path is the same for both: `universal_pathlib` gives addresses the methods of `pathlib`. What a store
has not got, locks, links, and names that are visible before they are safe, is dealt with where files are written.
"""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePath
from typing import Any, cast

from models.errors import SettingsError

# Schemes whose file system writes a new object only where there is none: what makes commits exclusive.
STORES = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "memory"})
_ADDRESS = re.compile(r"^([a-z][a-z0-9+.-]+)://")


def place_of(text: str | Path) -> Path:
    """A folder by its path, or by an address such as `s3://bucket/pictures`; nothing is looked at.

    Raises:
        SettingsError: a store of another kind, or the package for it is not installed.
    """
    found = _ADDRESS.match(os.fspath(text))
    if found is None or found[1] == "file":
        return Path(os.fspath(text).removeprefix("file://"))
    if found[1] not in STORES:
        raise SettingsError(
            f"{text} is in a store of kind {found[1]}", f"one of {', '.join(sorted(STORES))}", "Copy it."
        )
    try:
        from upath import UPath  # noqa: PLC0415 - only where an address is given

        # What another machine wrote a moment ago has to be seen.
        caching: dict[str, Any] = {} if found[1] == "memory" else {"use_listings_cache": False}
        place = UPath(str(text).rstrip("/"), **caching)
        place.fs  # noqa: B018 - imports the package of the store
    except ImportError as error:
        raise SettingsError(
            f"{text} is in a store, and {error.name or error} is not installed",
            "the extra `stores`, which brings it for s3",
            "Run pip install 'sortline[stores]'; for gs:// add gcsfs, for az:// adlfs.",
        ) from error
    return cast("Path", place)


def is_stored(path: Path) -> bool:
    """Whether a path is an address in a store."""
    return not isinstance(path, PurePath)


def whole(path: Path) -> Path:
    """The path without links and dots; an address as it is."""
    return path if is_stored(path) else path.resolve()


def holds(outer: Path, inner: Path) -> bool:
    """Whether one folder is, or lies inside, the other."""
    if is_stored(outer) or is_stored(inner):
        return f"{inner}/".startswith(f"{outer}/")
    return inner.resolve().is_relative_to(outer.resolve())


def require_disk(path: Path, wish: str) -> None:
    """Refuses an address where only a disk will do.

    Raises:
        SettingsError: it is one.
    """
    if is_stored(path):
        raise SettingsError(f"{path} is in a store", f"a folder on a disk, {wish}", "Copy it there first.")
