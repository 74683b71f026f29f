"""Which files of a folder have their row already, in a few bytes a file."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from models.data.listing import file_name
from models.serving.commit import TRY_AGAIN, OutputStore
from models.serving.commit_log import Commit, Part

# A file that fails for the machine's reasons is tried so often as long as it stays the same.
ATTEMPTS = 3
KEY_BYTES = 16
_KEY_COLUMNS = ("size_bytes", "mtime_ns", "ctime_ns", "inode", "status")


class KeySet:
    """A set of 16-byte digests: 16 bytes of memory each.

    Args:
        keys: one behind the other; they become the set's own, and are sorted where they lie.
    """

    def __init__(self, keys: bytearray) -> None:
        # numpy strips zeros at the end of such strings, of both sides of a comparison alike.
        self._sorted = np.frombuffer(keys, dtype=f"S{KEY_BYTES}")
        self._sorted.sort()

    def __len__(self) -> int:
        return len(self._sorted)

    def contains(self, keys: Sequence[bytes]) -> NDArray[np.bool_]:
        """(N,) whether each of N keys is in the set."""
        return self.positions(keys) >= 0

    def positions(self, keys: Sequence[bytes]) -> NDArray[np.int64]:
        """(N,) place of each of N keys in the set, 0..len-1; -1 where it is not in it."""
        asked = np.frombuffer(b"".join(keys), dtype=f"S{KEY_BYTES}")
        if not len(self._sorted):
            return np.full(len(asked), -1, dtype=np.int64)
        found = np.minimum(np.searchsorted(self._sorted, asked), len(self._sorted) - 1)
        return np.where(self._sorted[found] == asked, found, -1)


class KnownFiles:
    """The files that have a row from one bundle, as they were when it was made."""

    def __init__(self, store: OutputStore, bundle_sha256: str) -> None:
        self._store, self._bundle_sha256 = store, bundle_sha256
        commits = [c for c in store.commits() if c.bundle_sha256 == bundle_sha256 and c.kind == "scored"]
        again = self._tried_too_seldom()
        keys, names = bytearray(), bytearray()
        for commit in commits:
            table = committed_inputs(store, commit)
            its_names = name_keys(table)
            plan = commit.plan_id.encode()
            kept = [plan + name not in again for name in its_names] if again else None
            for k, key in enumerate(file_keys(table)):
                if kept is None or kept[k]:
                    keys += key
            names += b"".join(its_names)
        self._keys, self._names = KeySet(keys), KeySet(names)

    def is_known(self, listing: pa.Table) -> NDArray[np.bool_]:
        """(N,) whether each of N entries of a listing has its row, and has not changed since."""
        return self._keys.contains(file_keys(listing))

    def known_digests(self, listing: pa.Table) -> list[str | None]:
        """Digest of the bytes that the newest row of each entry's path is about; None where there is none."""
        names = name_keys(listing)
        wanted = {name for name, is_in in zip(names, self._names.contains(names), strict=True) if is_in}
        found: dict[bytes, str | None] = {}
        columns = ["path", "path_bytes", "sha256", "reason"]
        for table in self._store.tables(self._bundle_sha256, columns, newest_first=True) if wanted else ():
            keys = name_keys(table)
            for k in range(len(keys) - 1, -1, -1):
                if keys[k] in wanted and keys[k] not in found:
                    is_machine = table["reason"][k].as_py() in TRY_AGAIN
                    found[keys[k]] = None if is_machine else table["sha256"][k].as_py()
            if len(found) == len(wanted):
                break
        return [found.get(name) for name in names]

    def _tried_too_seldom(self) -> set[bytes]:
        """Plan and name of rows that the machine is to blame for, of files that were not tried often enough."""
        attempts: Counter[bytes] = Counter()
        rows: list[tuple[bytes, bytes]] = []
        for _, part in self._store.live(self._bundle_sha256):
            if part.again == 0:
                continue
            table = self._store.checked(part).select(["path", "path_bytes", "reason", "plan_id"])
            blamed = table.filter(pc.is_in(table["reason"], pa.array(TRY_AGAIN)))
            for name, plan in zip(name_keys(blamed), blamed["plan_id"].to_pylist(), strict=True):
                attempts[name] += 1
                rows.append((plan.encode(), name))
        return {plan + name for plan, name in rows if attempts[name] < ATTEMPTS}


def committed_inputs(store: OutputStore, commit: Commit) -> pa.Table:
    """Table PLANNED of the files that a commit accounts for."""
    inputs = store.plans.inputs(commit.plan_id)
    if commit.plan_rows is None:
        return inputs
    plan = store.plans.get(commit.plan_id)
    slices = [inputs.slice(*plan.slice_of(shard)) for shard in _shards(commit.parts)]
    return pa.concat_tables([inputs.slice(0, 0), *slices])


def _shards(parts: Sequence[Part]) -> list[int]:
    return [part.shard for part in parts if part.shard is not None]


def file_keys(listing: pa.Table) -> list[bytes]:
    """One 16-byte key an entry, which tells a file from a newer one of the same name without reading it."""
    columns = [listing[name].to_pylist() for name in _KEY_COLUMNS]
    return [
        _digest(b"%s\0%d\0%d\0%d\0%d\0%s" % (name, size, mtime, ctime, inode, (status or "").encode()))
        for name, size, mtime, ctime, inode, status in zip(_raw_names(listing), *columns, strict=True)
    ]


def name_keys(rows: pa.Table) -> list[bytes]:
    """One 16-byte key a row, of the name that its file is opened by."""
    return [_digest(name) for name in _raw_names(rows)]


def name_key(row: dict[str, Any]) -> bytes:
    """The key that `name_keys` gives for a row."""
    return _digest(file_name(row).encode("utf-8", "surrogateescape"))


def _raw_names(rows: pa.Table) -> list[bytes]:
    """The bytes of each name: a text may stand for other bytes, where a name is not UTF-8."""
    pairs = zip(rows["path"].to_pylist(), rows["path_bytes"].to_pylist(), strict=True)
    return [path.encode() if raw is None else raw for path, raw in pairs]


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=KEY_BYTES).digest()
