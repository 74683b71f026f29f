"""What lies beside the bundles of one model: its history, which is the truth, and a copy of its last word.

history.jsonl    every event; an event is what counts
champion.json    the champion by that history, written after it, whole at any time
.lock            held by whoever writes

A process that is killed between the two leaves a pointer that is behind. Readers then follow the history, and the next
writer moves the pointer. A pointer to what the history does not hold was not written by us: nothing is scored by it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from models.artifacts.durable import exclusive_lock, read_plain, write_durably
from models.errors import ArtifactChanged, OutputBusy
from models.serving.acting_user import acting_user
from models.serving.history import Entry, History, add_events, read_history
from models.serving.standing import CROWNING, Standing, standing_of

HISTORY_FILE, POINTER_FILE, LOCK_FILE = "history.jsonl", "champion.json", ".lock"
# Opening the bundle of a rollback under the lock takes a second or two.
PATIENCE_S = 15.0
_POLL_S = 0.02
_POINTER_LIMIT_BYTES = 1 << 16


class Champion(BaseModel):
    """The pointer to the bundle that scoring uses.

    Attributes:
        sequence: of the event by which it became champion.
        event_sha256: digest of that event's line; empty in pointers of before 0.3.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    sequence: int
    bundle_sha256: str
    event_sha256: str = ""


class Snapshot(NamedTuple):
    """History and pointer as they were read, which do not contradict each other.

    Attributes:
        pointer: what champion.json said; None where there is none.
    """

    history: History
    standing: Standing
    pointer: Champion | None

    @property
    def champion(self) -> Champion | None:
        """The champion by the history, which a pointer may be behind; None before the first."""
        event = self.standing.champion
        if event is None:
            return None
        digest = self.history.digest(event.sequence)
        return Champion(sequence=event.sequence, bundle_sha256=event.bundle_sha256, event_sha256=digest)


class Ledger:
    """History and pointer of one model."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self) -> Snapshot:
        """What is there now.

        Raises:
            ArtifactChanged: the history was altered, or the pointer names what it does not hold.
        """
        # In this order: what the pointer names was durable before it, so a history that is read later holds it.
        pointer = self._pointer()
        history = read_history(self.folder / HISTORY_FILE)
        if pointer is not None:
            self._require_recorded(pointer, history)
        return Snapshot(history, standing_of(history.events), pointer)

    @contextmanager
    def hold(self, patience_s: float = PATIENCE_S) -> Iterator[HeldLedger]:
        """The ledger for one writer; what an interrupted one left is mended first.

        Raises:
            OutputBusy: another process held it for all of `patience_s`.
            ArtifactChanged: as `read`.
        """
        with _patient_lock(self.folder / LOCK_FILE, patience_s):
            held = HeldLedger(self.folder, self.read())
            held.mend()
            yield held

    def _pointer(self) -> Champion | None:
        path = self.folder / POINTER_FILE
        data = read_plain(path, _POINTER_LIMIT_BYTES, lambda what: self._edited(f"is {what}"))
        if data is None:
            return None
        try:
            return Champion.model_validate_json(data)
        except ValidationError as error:
            raise self._edited("does not read") from error

    def _require_recorded(self, pointer: Champion, history: History) -> None:
        if not 1 <= pointer.sequence <= len(history.events):
            raise self._edited(f"names event {pointer.sequence}, and the history has {len(history.events)}")
        event = history.events[pointer.sequence - 1]
        if event.event not in CROWNING or event.bundle_sha256 != pointer.bundle_sha256:
            raise self._edited(
                f"names bundle {pointer.bundle_sha256[:12]}, which event {event.sequence} did not promote"
            )
        if pointer.event_sha256 and pointer.event_sha256 != history.digest(pointer.sequence):
            raise self._edited(f"names event {event.sequence} as it was before somebody changed the history")

    def _edited(self, what: str) -> ArtifactChanged:
        return ArtifactChanged(
            f"{self.folder / POINTER_FILE} {what}",
            "a bundle that was promoted",
            "Restore both from a backup; or, where `sortline models history` is right, delete champion.json: "
            "the history says who is champion.",
        )


class HeldLedger:
    """A ledger that nobody else writes to as long as its lock is held.

    Attributes:
        now: what it holds, with all that was recorded through it.
    """

    def __init__(self, folder: Path, now: Snapshot) -> None:
        self._folder = folder
        self.now = now

    def mend(self) -> None:
        """Cuts a torn last line off, and moves a pointer that is behind."""
        if self.now.history.torn_bytes:
            self._write(())
        self._point()

    def record(self, *entries: Entry) -> None:
        """Adds events, all or none of them; then points at the champion that they lead to.

        Where a deed names nobody, whoever is signed in did it.

        Raises:
            StorageError: the disk is full; where only the pointer could not be moved, the events count.
        """
        someone = acting_user()
        self._write(tuple(e._replace(deed=e.deed._replace(by=e.deed.by or someone)) for e in entries))
        self._point()

    def _write(self, entries: tuple[Entry, ...]) -> None:
        history = add_events(self._folder / HISTORY_FILE, self.now.history, entries)
        self.now = Snapshot(history, standing_of(history.events), self.now.pointer)

    def _point(self) -> None:
        champion = self.now.champion
        if champion is None or champion == self.now.pointer:
            return
        write_durably(self._folder / POINTER_FILE, champion.model_dump_json(indent=1).encode())
        self.now = self.now._replace(pointer=champion)


@contextmanager
def _patient_lock(path: Path, patience_s: float) -> Iterator[None]:
    """Holds a lock file, after waiting for whoever has it."""
    until = time.monotonic() + patience_s
    with ExitStack() as stack:
        while True:
            try:
                stack.enter_context(exclusive_lock(path))
                break
            except OutputBusy:
                if time.monotonic() >= until:
                    raise
                time.sleep(_POLL_S)
        yield
