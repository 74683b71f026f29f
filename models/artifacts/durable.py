"""Writes that are whole or absent, and that survive a power cut once they return.

In an object store a write is whole by itself, and there is nothing to sync; nothing there can be locked either, so that
who comes first is told by writing what may not exist yet.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from models.artifacts.places import is_stored
from models.errors import OutputBusy, SortlineError, StorageError

TEMPORARY_PREFIX = ".tmp-"
NO_LOCK = -1
# How file systems say that they have no hard links.
_NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})


def sha256_of(path: Path) -> str:
    """Hex digest of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_sha256(text: str) -> bool:
    """Whether a text is a digest as `sha256_of` gives it."""
    return len(text) == hashlib.sha256().digest_size * 2 and not set(text) - set("0123456789abcdef")


@contextmanager
def storage_errors(path: Path, wish: str) -> Iterator[None]:
    """Turns an OSError inside the block into a StorageError that names the path.

    Args:
        path: what was touched.
        wish: what was being done, as in "written".
    """
    try:
        yield
    # What stands behind an address raises whatever its client knows.
    except Exception as error:
        if isinstance(error, SortlineError) or not (isinstance(error, OSError) or is_stored(path)):
            raise
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise StorageError(
            f"{path} could not be {wish}: {reason}",
            "a folder with free space that this user may read and write",
            "Free space, mend the permissions or choose another place, then run the same command again.",
        ) from error


def read_plain(path: Path, at_most_bytes: int, refuse: Callable[[str], SortlineError]) -> bytes | None:
    """The bytes of a regular file, by one opening of it; None where the name is free.

    What is looked at is what is read, whatever takes its name meanwhile. Hard links, as some backups make them, do no
    harm.

    Args:
        path: of the file.
        at_most_bytes: what is read of a larger one is a byte more, which tells it from others.
        refuse: gives the error for a link or what is no file, from words that say which.

    Raises:
        StorageError: the file cannot be read.
    """
    with storage_errors(path, "read"):
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise refuse("a link") from error
            raise
        # Before anything reads it: a folder does not even become a file object.
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise refuse("not a regular file")
        with os.fdopen(descriptor, "rb") as file:
            return file.read(at_most_bytes + 1)


def write_durably(path: Path, data: bytes, *, exclusive: bool = False) -> None:
    """Puts `data` at `path` in one step: a reader sees the old file or the whole new one.

    Args:
        path: where to; missing folders are made.
        data: the whole content.
        exclusive: refuse to replace an existing file.

    Raises:
        FileExistsError: `exclusive` and the file is already there.
        StorageError: the disk is full, read-only or gone.
    """
    write_durably_from(path, (data,), exclusive=exclusive)


def write_durably_from(path: Path, chunks: Iterable[bytes], *, exclusive: bool = False) -> None:
    """The same, from content that comes in pieces."""
    if is_stored(path):
        _put(path, b"".join(chunks), exclusive=exclusive)
        return
    make_folder(path.parent)
    with storage_errors(path, "written"):
        descriptor, name = tempfile.mkstemp(prefix=TEMPORARY_PREFIX, dir=path.parent)
    temporary = Path(name)
    try:
        with storage_errors(path, "written"):
            with os.fdopen(descriptor, "wb") as file:
                for data in chunks:
                    file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.chmod(0o666 & ~_umask())
        # A link fails where the name is taken, a rename would silently win.
        if exclusive:
            _take_name(temporary, path)
        else:
            with storage_errors(path, "written"):
                temporary.replace(path)
        sync_folder(path.parent)
    finally:
        with storage_errors(temporary, "removed"):
            temporary.unlink(missing_ok=True)


@contextmanager
def exclusive_lock(path: Path) -> Iterator[int]:
    """Holds a lock file for the length of the block, and gives its descriptor: who inherits it holds the lock too.

    In a store there is no lock, and the descriptor is NO_LOCK.

    Raises:
        OutputBusy: another process holds it.
        StorageError: it cannot be made or locked.
    """
    if is_stored(path):
        yield NO_LOCK
        return
    make_folder(path.parent)
    with storage_errors(path, "locked"):
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o644)
    try:
        with storage_errors(path, "locked"):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise OutputBusy(
                    f"another run is writing to {path.parent}", "one run at a time", "Wait for it to end."
                ) from error
        yield descriptor
    finally:
        os.close(descriptor)


def make_folder(path: Path) -> None:
    """Makes a folder and its parents durable."""
    if is_stored(path) or path.is_dir():
        return
    make_folder(path.parent)
    with storage_errors(path, "made"):
        path.mkdir(exist_ok=True)
        sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Makes the names inside a folder durable."""
    if is_stored(path):
        return
    with storage_errors(path, "written"):
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _put(path: Path, data: bytes, *, exclusive: bool) -> None:
    """Writes an object.

    Raises:
        FileExistsError: `exclusive`, and there is another one of this name.
    """
    store = cast("Any", path)
    with storage_errors(path, "written"):
        if not exclusive:
            store.fs.pipe_file(store.path, data)
            return
    taken = False
    with storage_errors(path, "written"):
        try:
            store.fs.pipe_file(store.path, data, mode="create")
        except FileExistsError:
            # An answer that was lost has the client try again, and find what it wrote itself.
            taken = path.read_bytes() != data
    if taken:
        raise FileExistsError(str(path))


def _take_name(temporary: Path, path: Path) -> None:
    """Gives a file its name, unless the name is taken.

    Raises:
        FileExistsError: it is taken.
        OutputBusy: the file is gone: another run held this one for dead, and removed what it left.
    """
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except FileNotFoundError as error:
        if not path.parent.is_dir():
            raise StorageError(f"{path.parent} is gone", "the folder of the output", "Mount or make it.") from error
        raise OutputBusy(
            f"another run is writing to {path.parent}, and took this one for dead",
            "one run at a time",
            "Run the same command again.",
        ) from error
    except OSError as error:
        if error.errno not in _NO_LINKS:
            with storage_errors(path, "written"):
                raise
        # A file system without hard links; whoever writes exclusively also holds the lock.
        if path.exists():
            raise FileExistsError(path) from None
        with storage_errors(path, "written"):
            temporary.replace(path)


def _umask() -> int:
    """The process's mask; Linux offers no way to read it without setting it, except this file."""
    status = Path("/proc/self/status")
    for line in status.read_text().splitlines() if status.exists() else []:
        if line.startswith("Umask:"):
            return int(line.split()[1], 8)
    return 0o022
