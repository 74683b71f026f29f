"""The history of a model: one line an event, and in each the digest of the line before it.

The file is replaced as a whole whenever events are added. So a reader sees all of an addition or nothing of it, a full
disk leaves the history as it was, and two events that belong together appear together. Lines that are there keep their
bytes: those of before 0.3 name no line before them, and the chain begins with the first that does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from models.artifacts.durable import storage_errors, write_durably
from models.artifacts.records import RegistryEvent, RegistryEventName
from models.errors import ArtifactChanged

NO_LINE_BEFORE = "0" * 64


class Deed(NamedTuple):
    """When somebody did something, why, and who.

    Attributes:
        at: UTC.
        by: user@host, or the name that was given.
        verdict_sha256: digest of the sealed verdict behind it; empty where there is none.
    """

    at: datetime
    reason: str
    by: str = ""
    verdict_sha256: str = ""


class Entry(NamedTuple):
    """An event before it has its place in a history; `site` and `site_sha256` are of an adaptation."""

    event: RegistryEventName
    bundle_sha256: str
    macro_f1: float
    deed: Deed
    site: str = ""
    site_sha256: str = ""


class History(NamedTuple):
    """Events of a model, oldest first.

    Attributes:
        lines: the events as they lie on disk, without line ends.
        linked_from: sequence of the first event that names the line before it; 0 where none does.
        torn_bytes: length of a last line that was cut off; it is no event.
    """

    events: tuple[RegistryEvent, ...] = ()
    lines: tuple[bytes, ...] = ()
    linked_from: int = 0
    torn_bytes: int = 0

    def digest(self, sequence: int) -> str:
        """sha256 of a line; that before the first is zeros."""
        return hashlib.sha256(self.lines[sequence - 1]).hexdigest() if sequence else NO_LINE_BEFORE


def read_history(path: Path) -> History:
    """The history at `path`, its chain checked; empty where there is none.

    Raises:
        ArtifactChanged: a line does not read, is out of order, or does not name the line before it.
        StorageError: the file cannot be read.
    """
    *lines, rest = _bytes_of(path).split(b"\n")
    whole = [line for line in lines if line]
    if rest and _event(rest) is not None:
        # An editor took the last line end away; the event itself is whole.
        whole, rest = [*whole, rest], b""
    events = tuple(_required(path, number, line) for number, line in enumerate(whole, 1))
    history = History(events, tuple(whole), torn_bytes=len(rest))
    return history._replace(linked_from=_checked_links(path, history))


def add_events(path: Path, history: History, entries: Sequence[Entry]) -> History:
    """The history with all entries behind its last event, durable; a torn last line is gone.

    Raises:
        StorageError: it cannot be written; the history at `path` is what it was.
    """
    added = history._replace(torn_bytes=0)
    for entry in entries:
        added = _with(added, entry)
    write_durably(path, b"".join(line + b"\n" for line in added.lines))
    return added


def _with(history: History, entry: Entry) -> History:
    sequence = len(history.events) + 1
    event = RegistryEvent(
        sequence=sequence,
        at=entry.deed.at.isoformat(),
        event=entry.event,
        bundle_sha256=entry.bundle_sha256,
        macro_f1=entry.macro_f1,
        reason=entry.deed.reason,
        by=entry.deed.by,
        verdict_sha256=entry.deed.verdict_sha256,
        prev_sha256=history.digest(sequence - 1),
        site=entry.site,
        site_sha256=entry.site_sha256,
    )
    return history._replace(
        events=(*history.events, event),
        lines=(*history.lines, event.model_dump_json().encode()),
        linked_from=history.linked_from or sequence,
    )


def _checked_links(path: Path, history: History) -> int:
    """Sequence of the first event that names the line before it; 0 where none does."""
    first = 0
    for number, event in enumerate(history.events, 1):
        if event.sequence != number:
            raise _altered(path, number, f"has sequence {event.sequence}")
        if event.prev_sha256 or first:
            if event.prev_sha256 != history.digest(number - 1):
                raise _altered(path, number, "does not name the line before it")
            first = first or number
    return first


def _required(path: Path, number: int, line: bytes) -> RegistryEvent:
    event = _event(line)
    if event is None:
        raise _altered(path, number, "does not read as an event")
    return event


def _event(line: bytes) -> RegistryEvent | None:
    try:
        return RegistryEvent.model_validate_json(line)
    except ValidationError:
        return None


def _bytes_of(path: Path) -> bytes:
    with storage_errors(path, "read"):
        try:
            return path.read_bytes()
        except FileNotFoundError:
            return b""


def _altered(path: Path, number: int, what: str) -> ArtifactChanged:
    return ArtifactChanged(
        f"line {number} of {path} {what}",
        "the history as it was written",
        "Restore the model's folder from a backup, or train under another name.",
    )
