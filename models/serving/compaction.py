"""Many small parts to few large ones: the same rows in the same order, by one commit."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import pyarrow as pa

from models.serving.commit import MERGED, OutputStore
from models.serving.commit_log import Commit, Deed, Part

MOST_ROWS = 200_000
_LEAST_PARTS = 2


class Compacted(NamedTuple):
    """What was merged."""

    parts_before: int
    parts_after: int
    rows: int


def compact(store: OutputStore, deed: Deed, most_rows: int = MOST_ROWS) -> Compacted:
    """Merges neighbouring parts of one model until they hold `most_rows`; nothing where nothing is to be merged.

    A reader that follows the log sees the old parts or the merged ones. One that goes by a pattern of names may see
    both until the old ones are removed, which is at once.

    Args:
        store: the output.
        deed: who does it, and when.
        most_rows: of a merged part, at most; so many are in memory at once.

    Raises:
        OutputBusy: a run holds the output.
        ArtifactChanged: a part is not what was committed.
        StorageError: the merged part cannot be written; what was committed stays as it is.
    """
    with store.hold():
        head, live = store.log.head(), store.live()
        for group in _groups(live, most_rows):
            commit, parts = group[0][0], [part for _, part in group]
            removed = tuple(part.path for part in parts)
            merged = deed.commit("compacted", commit, (_merged(store, commit, parts),), removed)
            head = store.log.append(merged, head)
        store.remove_replaced()
        after = store.live()
    return Compacted(len(live), len(after), sum(part.rows for _, part in after))


def _groups(live: Sequence[tuple[Commit, Part]], most_rows: int) -> Iterator[list[tuple[Commit, Part]]]:
    """Neighbours of one model that fit into one part together."""
    group: list[tuple[Commit, Part]] = []
    for commit, part in live:
        rows = sum(member.rows for _, member in group) + part.rows
        if group and (group[0][0].bundle_sha256 != commit.bundle_sha256 or rows > most_rows):
            if len(group) >= _LEAST_PARTS:
                yield group
            group = []
        group.append((commit, part))
    if len(group) >= _LEAST_PARTS:
        yield group


def _merged(store: OutputStore, commit: Commit, parts: Sequence[Part]) -> Part:
    """One part with the rows of several, durable under a name that their digests give."""
    digest = hashlib.sha256("".join(part.sha256 for part in parts).encode()).hexdigest()
    path = store.data_dir(commit.bundle_sha256) / f"{MERGED}{digest[:16]}.parquet"
    store.write_part(path, pa.concat_tables([store.checked(part) for part in parts]))
    return store.part(path)
