"""Where the bytes of pictures come from: a folder on a disk, or an address in a store."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Protocol

from models.artifacts.places import is_stored
from models.data.decode import FileTimes, read_file
from models.data.inspection import Request
from models.data.listing import file_name
from models.data.stored_object import read_object


class PictureSource(Protocol):
    """Files by their rows of a listing.

    Attributes:
        disk: folder in which `on_disk` has them.
    """

    disk: Path

    def read(self, row: dict[str, Any], max_bytes: int) -> bytes:
        """The bytes of a file that is still the one that was listed.

        Raises:
            UnreadableImage: it is not, or it cannot be read.
        """

    def on_disk(self, row: dict[str, Any], max_bytes: int) -> AbstractContextManager[Request]:
        """What a worker process is asked for, while the file lies in `disk`.

        Raises:
            UnreadableImage: as `read` does.
        """


@contextmanager
def picture_source(folder: Path) -> Iterator[PictureSource]:
    """The source of a folder or an address."""
    if not is_stored(folder):
        yield FolderPictures(folder)
        return
    with tempfile.TemporaryDirectory(prefix="sortline-") as spool:
        yield StoredPictures(folder, Path(spool))


class FolderPictures:
    """Files of a folder on a disk."""

    def __init__(self, folder: Path) -> None:
        self.disk = folder

    def read(self, row: dict[str, Any], max_bytes: int) -> bytes:
        """The bytes of a file."""
        path = os.path.join(self.disk, file_name(row))  # noqa: PTH118 - keeps surrogates
        return read_file(path, max_bytes, FileTimes(row["size_bytes"], row["mtime_ns"]))

    @contextmanager
    def on_disk(self, row: dict[str, Any], max_bytes: int) -> Iterator[Request]:
        """The file where it lies; the worker reads it itself, within its own limits."""
        del max_bytes
        yield Request(file_name(row), row["size_bytes"], row["mtime_ns"])


class StoredPictures:
    """Objects below an address; nothing is kept of them."""

    def __init__(self, folder: Path, disk: Path) -> None:
        self._folder, self.disk = folder, disk

    def read(self, row: dict[str, Any], max_bytes: int) -> bytes:
        """The bytes of an object."""
        return read_object(self._folder / file_name(row), max_bytes, row["size_bytes"])

    @contextmanager
    def on_disk(self, row: dict[str, Any], max_bytes: int) -> Iterator[Request]:
        """A copy of the object for as long as the block lasts."""
        data = self.read(row, max_bytes)
        descriptor, name = tempfile.mkstemp(dir=self.disk)
        path = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
            found = path.stat()
            yield Request(path.name, found.st_size, found.st_mtime_ns)
        finally:
            path.unlink(missing_ok=True)
