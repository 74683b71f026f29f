"""Whether a registry may be believed: its chain, its pointer, the bundles and the verdict behind them."""

from __future__ import annotations

from collections.abc import Callable

from models.artifacts.durable import sha256_of
from models.artifacts.ref import ARTIFACT_NAME_LENGTH
from models.artifacts.workspace import Workspace
from models.errors import ArtifactChanged, SortlineError
from models.serving.ledger import Snapshot
from models.serving.registry import Registry
from models.serving.verify import Checked

_SHOWN_DIGITS = 12


def verify_registry(workspace: Workspace, name: str) -> list[Checked]:
    """Every check on the history of a model and on what it names; what rests on one that failed is not made.

    Args:
        workspace: holds the model.
        name: of the model.
    """
    registry = Registry(workspace)
    try:
        now = registry.snapshot(name)
    except SortlineError as error:
        return [Checked("history and pointer", False, str(error))]
    checks: list[tuple[str, Callable[[], str]]] = [
        ("history is a chain", lambda: _chain(now)),
        ("pointer agrees with it", lambda: _pointer(now)),
        ("bundles are those it names", lambda: _bundles(registry, name, now)),
        ("verdict is the one it names", lambda: _verdict(workspace, now)),
    ]
    return [_checked(title, check) for title, check in checks]


def _checked(title: str, check: Callable[[], str]) -> Checked:
    try:
        return Checked(title, True, check())
    except SortlineError as error:
        return Checked(title, False, str(error))


def _chain(now: Snapshot) -> str:
    count, first = len(now.history.events), now.history.linked_from
    linked = f"linked from event {first}" if first else "none names the one before it, as before 0.3"
    torn = (
        f"; {now.history.torn_bytes} bytes of an event that was cut off count as none" if now.history.torn_bytes else ""
    )
    return f"{count} events, {linked}{torn}"


def _pointer(now: Snapshot) -> str:
    if now.champion is None:
        return "no champion yet"
    named = f"event {now.champion.sequence}, {now.champion.bundle_sha256[:_SHOWN_DIGITS]}"
    if now.pointer is None or now.pointer.sequence != now.champion.sequence:
        return f"{named}; champion.json is behind, and the next change mends it"
    return named


def _bundles(registry: Registry, name: str, now: Snapshot) -> str:
    standing = now.standing
    roles = {"champion": standing.champion, "candidate": standing.candidate, "to go back to": standing.before}
    found = {role: event.bundle_sha256 for role, event in roles.items() if event is not None}
    for sha256 in found.values():
        registry.open_bundle(name, sha256)
    return ", ".join(f"{role} {sha256[:_SHOWN_DIGITS]}" for role, sha256 in found.items()) or "none yet"


def _verdict(workspace: Workspace, now: Snapshot) -> str:
    sha256 = now.standing.champion.verdict_sha256 if now.standing.champion else ""
    if not sha256:
        return "none is named"
    path = workspace.artifact_dir("verdict") / f"{sha256[:ARTIFACT_NAME_LENGTH]}.json"
    if not path.is_file():
        return f"{sha256[:_SHOWN_DIGITS]}, no longer in the workspace"
    if sha256_of(path) != sha256:
        raise ArtifactChanged(f"verdict {path} has other bytes", sha256[:_SHOWN_DIGITS], "Restore it from a backup.")
    return sha256[:_SHOWN_DIGITS]
