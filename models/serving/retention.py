"""Which bundles of a model are kept, and deleting the others."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

from models.artifacts.durable import storage_errors, sync_folder
from models.errors import SettingsError
from models.serving.bundle import MANIFEST_FILE
from models.serving.history import Deed, Entry, History
from models.serving.registry import Registry
from models.serving.standing import Standing, adaptations

KEPT_CHAMPIONS = 5


class Retired(NamedTuple):
    """A bundle that was deleted."""

    bundle_sha256: str
    size_bytes: int


def retire(registry: Registry, name: str, deed: Deed, keep: int = KEPT_CHAMPIONS) -> list[Retired]:
    """The bundles that are now deleted, oldest first; the history keeps all their events.

    Kept are the champion, the candidate, the last `keep` champions before it, the bundles of the last `keep`
    promotions, and those that a site is adapted from. A bundle without any event is kept too: a training may be about
    to judge it. The history says what is deleted before it is, so that after an interruption the next run deletes the
    rest.

    Args:
        registry: holds the bundles.
        name: of the model.
        deed: who deletes, when and why.
        keep: at least 1: what a rollback goes back to is never deleted.

    Raises:
        SettingsError: `keep` is below 1, or no model has that name.
        StorageError: a folder cannot be deleted.
    """
    if keep < 1:
        raise SettingsError(f"--keep {keep}", "at least 1, the champion to go back to", "Choose a larger number.")
    with registry.hold(name) as held:
        numbers = {e.bundle_sha256: e.macro_f1 for e in held.now.history.events}
        kept = kept_bundles(held.now.history, held.now.standing, keep)
        gone = [sha for sha in numbers if sha not in kept and registry.bundle_folder(name, sha).is_dir()]
        told = [sha for sha in gone if sha not in held.now.standing.retired]
        if told:
            held.record(*(Entry("retired", sha, numbers[sha], deed) for sha in told))
        return [Retired(sha, _delete(registry.bundle_folder(name, sha))) for sha in gone]


def kept_bundles(history: History, standing: Standing, keep: int) -> set[str]:
    """Digests of bundles that must not be deleted."""
    promoted = [event for event in history.events if event.event == "promoted"]
    # One more than `keep`: the champion stands at the end of its line.
    kept = {event.bundle_sha256 for event in (*standing.line[-keep - 1 :], *promoted[-keep:])}
    kept |= {event.bundle_sha256 for event in adaptations(history.events).values()}
    return kept | {event.bundle_sha256 for event in (standing.candidate, standing.before) if event is not None}


def _delete(folder: Path) -> int:
    """Bytes that were freed; without its manifest, which goes first, what is left is no bundle."""
    with storage_errors(folder, "deleted"):
        size_bytes = sum(path.lstat().st_size for path in folder.rglob("*"))
        (folder / MANIFEST_FILE).unlink(missing_ok=True)
        sync_folder(folder)
        shutil.rmtree(folder)
        sync_folder(folder.parent)
    return size_bytes
