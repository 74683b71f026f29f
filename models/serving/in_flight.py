"""Which files are being decoded at this moment, known to the next run where a decoder takes the process down.

Memory that is shared with a file outlives the process without costing a write a picture. A loss of power loses it,
and then nothing is suspected.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import struct
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from models.artifacts.durable import make_folder, storage_errors
from models.artifacts.places import is_stored

_SLOT = struct.Struct("<32sQ")
_SLOTS = 256
_FILE = "_in_flight-"
# Of a plan and the position of a file in it.
Place = tuple[str, int]


class InFlight:
    """One slot a thread: the file it is at."""

    def __init__(self, memory: mmap.mmap) -> None:
        self._memory = memory

    def begin(self, slot: int, place: Place) -> None:
        """Notes the file that a thread begins with."""
        _SLOT.pack_into(self._memory, slot % _SLOTS * _SLOT.size, place[0].encode(), place[1] + 1)

    def end(self, slot: int) -> None:
        """Notes that a thread survived its file."""
        _SLOT.pack_into(self._memory, slot % _SLOTS * _SLOT.size, b"", 0)


def suspects(out: Path) -> frozenset[Place]:
    """The files at which an earlier run ended without a word."""
    found = [path.read_bytes() for path in sorted(_folder(out).glob(f"{_FILE}*"))]
    slots = [_SLOT.unpack_from(data, at) for data in found for at in range(0, len(data) - _SLOT.size + 1, _SLOT.size)]
    return frozenset((name.rstrip(b"\0").decode("ascii", "replace"), at - 1) for name, at in slots if at)


def _folder(out: Path) -> Path:
    """The output itself; for one in a store, a folder of this machine: what died here is known here."""
    if not is_stored(out):
        return out
    name = hashlib.sha256(str(out).encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"sortline-{os.getuid()}" / name


@contextmanager
def in_flight(out: Path, process: int) -> Iterator[InFlight]:
    """Slots for the threads of a process of a run; emptied where the block ends, unless the process dies in it."""
    make_folder(_folder(out))
    path = _folder(out) / f"{_FILE}{process}"
    with storage_errors(path, "written"):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            os.ftruncate(descriptor, _SLOTS * _SLOT.size)
            memory = mmap.mmap(descriptor, _SLOTS * _SLOT.size)
        finally:
            os.close(descriptor)
    try:
        memory[:] = bytes(len(memory))
        yield InFlight(memory)
    finally:
        memory[:] = bytes(len(memory))
        memory.close()
