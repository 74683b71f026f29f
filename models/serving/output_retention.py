"""Rows that an output need not keep: parts whose every row has a newer one, or that are older than anybody asks for."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from models.serving.commit import OutputStore
from models.serving.commit_log import Commit, Deed, Part
from models.serving.known_files import name_keys


class Retired(NamedTuple):
    """What was removed."""

    parts: int
    rows: int


def retire(store: OutputStore, deed: Deed, older_than: datetime, *, everything: bool = False) -> Retired:
    """Removes parts that were committed before `older_than`, by one commit.

    Files whose rows go are still known, and are not scored again while they stay as they are.

    Args:
        store: the output.
        deed: who does it, and when.
        older_than: only parts that were committed before this time go.
        everything: also parts that hold the newest row of a file; else only those whose rows are all superseded by
            newer ones of the same path, from any model.

    Raises:
        OutputBusy: a run holds the output.
        ArtifactChanged: the log or a part is not what was committed.
    """
    with store.hold():
        head, live = store.log.head(), store.live()
        old = [(commit, part) for commit, part in live if datetime.fromisoformat(commit.at) < older_than]
        going = old if everything else _superseded(store, live, {part.path for _, part in old})
        if going:
            removed = tuple(part.path for _, part in going)
            store.log.append(deed.commit("retired", going[-1][0], (), removed), head)
            store.remove_replaced()
    return Retired(len(going), sum(part.rows for _, part in going))


def _superseded(store: OutputStore, live: list[tuple[Commit, Part]], candidates: set[str]) -> list[tuple[Commit, Part]]:
    """Candidates of which every row's path has a row in a newer part that stays."""
    newer: set[bytes] = set()
    found = []
    for commit, part in reversed(live):
        keys = set(name_keys(store.checked(part).select(["path", "path_bytes"])))
        if part.path in candidates and keys <= newer:
            found.append((commit, part))
        else:
            newer |= keys
    return found[::-1]
