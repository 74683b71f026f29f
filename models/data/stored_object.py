"""The bytes of an object in a store."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from models.errors import UnreadableImage


def read_object(path: Path, max_bytes: int, size_bytes: int | None = None) -> bytes:
    """The bytes of an object; a store gives one version of it or another, never a mixture.

    Args:
        path: its address.
        max_bytes: more are not asked for.
        size_bytes: that it had when it was listed; another size than that is `changed`.

    Raises:
        UnreadableImage: it vanished, may not be read, changed, is empty or is too large, or the store failed.
    """
    store = cast("Any", path)
    try:
        wanted = store.fs.info(store.path)["size"] if size_bytes is None else size_bytes
        if wanted > max_bytes:
            raise UnreadableImage("too_large", "too_many_bytes")
        # An empty object has no range that could be asked for.
        data: bytes = store.fs.cat_file(store.path) if wanted else b""
    except UnreadableImage:
        raise
    except FileNotFoundError as error:
        raise UnreadableImage("vanished", "vanished") from error
    except PermissionError as error:
        raise UnreadableImage("denied", "permission_denied") from error
    # What stands behind an address raises whatever its client knows.
    except Exception as error:
        raise UnreadableImage("unreadable", "io_error") from error
    if len(data) != wanted:
        raise UnreadableImage("changed", "changed_while_read")
    if not data:
        raise UnreadableImage("unreadable", "empty_file")
    return data
