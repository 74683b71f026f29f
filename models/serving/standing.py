"""Where a model stands, told from its history alone: champion, those before it, and who waits to become it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from models.artifacts.records import RegistryEvent

# Events that make a bundle champion.
CROWNING = ("promoted", "rolled_back")


class Standing(NamedTuple):
    """Where a model stands.

    Attributes:
        line: events by which the champion and those before it became champion, oldest first; bundles that somebody
            went back from are not among them.
        candidate: event of the bundle that waits for a person.
        withdrawn: digests of bundles that somebody went back from.
        retired: digests of bundles that were deleted.
    """

    line: tuple[RegistryEvent, ...]
    candidate: RegistryEvent | None
    withdrawn: frozenset[str]
    retired: frozenset[str]

    @property
    def champion(self) -> RegistryEvent | None:
        """Event by which the champion became it."""
        return self.line[-1] if self.line else None

    @property
    def before(self) -> RegistryEvent | None:
        """Event of the champion that a rollback goes back to; None where its bundle is gone or never was."""
        earlier = [e for e in self.line[:-1] if e.bundle_sha256 != self.line[-1].bundle_sha256]
        found = earlier[-1] if earlier else None
        return None if found is None or found.bundle_sha256 in self.retired else found


def standing_of(events: Iterable[RegistryEvent]) -> Standing:
    """Where the events lead to.

    Args:
        events: of one model, oldest first.
    """
    replay = _Replay()
    for event in events:
        replay.take(event)
    return Standing(tuple(replay.line), replay.candidate, frozenset(replay.withdrawn), frozenset(replay.retired))


def adaptations(events: Iterable[RegistryEvent]) -> dict[str, RegistryEvent]:
    """By the name of a site, the event of the adaptation that scores there now.

    Args:
        events: of one model, oldest first.
    """
    found: dict[str, RegistryEvent] = {}
    for event in events:
        if event.event == "adapted":
            found[event.site] = event
        elif event.event == "site_removed":
            found.pop(event.site, None)
    return dict(sorted(found.items()))


class _Replay:
    """What is known after some of the events."""

    def __init__(self) -> None:
        self.line: list[RegistryEvent] = []
        self.candidate: RegistryEvent | None = None
        self.withdrawn: set[str] = set()
        self.retired: set[str] = set()

    def take(self, event: RegistryEvent) -> None:
        """One event more."""
        sha256 = event.bundle_sha256
        if event.event == "retired":
            self.retired.add(sha256)
        elif event.event in ("candidate", "imported"):
            self.candidate = event
            self.retired.discard(sha256)
        elif event.event in CROWNING:
            self._crown(event)
        if event.event in (*CROWNING, "rejected", "refused"):
            self._settle_candidate(sha256)

    def _crown(self, event: RegistryEvent) -> None:
        if event.event == "rolled_back":
            self._step_down_to(event.bundle_sha256)
        self.line.append(event)
        self.withdrawn.discard(event.bundle_sha256)
        self.retired.discard(event.bundle_sha256)

    def _step_down_to(self, sha256: str) -> None:
        """Takes those off the line that stand between it and the champion, wherever else they stood too."""
        digests = [event.bundle_sha256 for event in self.line]
        kept = len(digests) - 1 - digests[::-1].index(sha256) if sha256 in digests else len(digests) - 1
        gone = set(digests[kept:]) - {sha256}
        self.line = [event for event in self.line[:kept] if event.bundle_sha256 not in gone]
        self.withdrawn |= gone

    def _settle_candidate(self, sha256: str) -> None:
        if self.candidate is not None and self.candidate.bundle_sha256 == sha256:
            self.candidate = None
