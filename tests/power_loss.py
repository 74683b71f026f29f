"""What a disk may hold after the power failed: storage operations are recorded, and every state is built anew.

Only what was synced is sure: a file's bytes at its last fsync, and a folder's entries at its last fsync. Of what came
later, each folder may have kept any number of its first changes, and a file that was never synced may be empty, cut in
half, zeros or whole. Changes of one folder reach the disk in their order, as journalling file systems have it.
"""

from __future__ import annotations

import itertools
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest

# Of the bytes that a file had when the power failed, what may be there of those that were never synced.
DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "half": lambda data: data[: len(data) // 2],
    "zeros": lambda data: bytes(len(data)),
    "whole": lambda data: data,
}
IGNORED = (".lock", "_in_flight")


class Died(BaseException):
    """Stands for the end of the process."""


class Change(NamedTuple):
    """One change of a folder's entries: a name gets a file or folder (`node`), or loses it (None)."""

    name: str
    node: int | None


class Disk:
    """What was written below a folder, and how much of it is sure."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._count = itertools.count(1)
        self.entries: dict[int, dict[str, int]] = {0: {}}  # of every folder, as it is now
        self.sure: dict[int, dict[str, int]] = {0: {}}
        self.pending: dict[int, list[Change]] = {0: []}
        self.data: dict[int, bytes | None] = {}  # of every file at its last fsync; None before the first
        self.paths: dict[int, Path] = {}

    def node_of(self, path: Path) -> int | None:
        """Number of what has a path now; None where nothing is known of it."""
        node: int | None = 0
        for name in path.relative_to(self.root).parts:
            node = None if node is None else self.entries.get(node, {}).get(name)
        return node

    def add(self, path: Path, *, is_folder: bool) -> None:
        """A new file or folder."""
        node = next(self._count)
        if is_folder:
            self.entries[node], self.sure[node], self.pending[node] = {}, {}, []
        else:
            self.data[node] = None
        self.change(path, node)

    def change(self, path: Path, node: int | None) -> None:
        """A name gets a node, or loses its own."""
        folder = self.node_of(path.parent)
        if folder is None:
            return
        if node is None:
            self.entries[folder].pop(path.name, None)
        else:
            self.entries[folder][path.name] = node
        self.pending[folder].append(Change(path.name, node))

    def sync_folder(self, path: Path) -> None:
        """The entries of a folder are sure from here on."""
        node = self.node_of(path)
        if node is not None:
            self.sure[node], self.pending[node] = dict(self.entries[node]), []

    def sync_file(self, path: Path) -> None:
        """The bytes of a file are sure from here on."""
        node = self.node_of(path)
        if node is not None:
            self.data[node] = path.read_bytes()

    def contents(self) -> dict[int, bytes]:
        """Bytes of every file that has a name now, synced or not."""
        found: dict[int, bytes] = {}
        for path in self.root.rglob("*"):
            node = self.node_of(path)
            if path.is_file() and node is not None:
                found[node] = path.read_bytes()
        return found

    def states(self) -> Iterator[dict[str, bytes | None]]:
        """What may be there if the power fails now: bytes by relative path, None for a folder."""
        kept = [dict.fromkeys(self.pending, 0), {node: len(found) for node, found in self.pending.items()}]
        for node, found in self.pending.items():
            for some in {1, len(found) // 2, len(found)} if found else ():
                kept.append({**kept[0], node: some})
                kept.append({**kept[1], node: len(found) - some})
        now = self.contents()
        for some_of, damage in itertools.product(kept, DAMAGES.values()):
            yield dict(self._tree(0, "", some_of, partial(self._bytes, now, damage)))

    def _bytes(self, now: dict[int, bytes], damage: Callable[[bytes], bytes], node: int) -> bytes:
        sure = self.data[node]
        return damage(now.get(node, b"")) if sure is None else sure

    def _tree(
        self, folder: int, prefix: str, kept: dict[int, int], read: Callable[[int], bytes]
    ) -> Iterator[tuple[str, bytes | None]]:
        entries = dict(self.sure[folder])
        for change in self.pending[folder][: kept[folder]]:
            entries.pop(change.name, None)
            if change.node is not None:
                entries[change.name] = change.node
        for name, node in sorted(entries.items()):
            if node in self.sure:
                yield f"{prefix}{name}", None
                yield from self._tree(node, f"{prefix}{name}/", kept, read)
            else:
                yield f"{prefix}{name}", read(node)


State = tuple[tuple[str, bytes | None], ...]


class Recorder:
    """Watches what this process does below a folder.

    Attributes:
        states: every state that a loss of power may have left so far, and whether a run had been acknowledged before.
        folder_syncs: number of folders that were synced.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.disk = Disk(root)
        self.states: dict[State, int] = {}
        self.acknowledged = 0
        self.folder_syncs = 0
        self.dies_at = 0
        self.is_looking = True

    def look(self) -> None:
        """Collects the states that are possible now; a state counts with the most that it has to hold."""
        if not self.is_looking:
            return
        for state in self.disk.states():
            frozen = tuple(sorted(state.items()))
            self.states[frozen] = max(self.states.get(frozen, 0), self.acknowledged)

    def is_watched(self, path: Path) -> bool:
        """Whether a path lies below the folder and holds what counts."""
        return path.is_relative_to(self.root) and not path.name.startswith(IGNORED)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Records inside the block."""
        with pytest.MonkeyPatch.context() as patch:
            for name in ("fsync", "link", "replace", "unlink", "mkdir", "rmdir"):
                patch.setattr(os, name, getattr(self, f"_{name}")(getattr(os, name)))
            patch.setattr(tempfile, "mkstemp", self._mkstemp(tempfile.mkstemp))
            yield

    def _fsync(self, real: Callable[[int], None]) -> Callable[[int], None]:
        def fsync(descriptor: int) -> None:
            path = Path(f"/proc/self/fd/{descriptor}").readlink()
            if not self.is_watched(path):
                return
            is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
            self.look()
            if is_folder:
                self.folder_syncs += 1
                if self.folder_syncs == self.dies_at:
                    raise Died
                self.disk.sync_folder(path)
            else:
                self.disk.sync_file(path)
            self.look()

        return fsync

    def _link(self, real: Callable[..., None]) -> Callable[..., None]:
        def link(source: Any, target: Any, **options: Any) -> None:
            real(source, target, **options)
            self.disk.change(Path(target), self.disk.node_of(Path(source)))
            self.look()

        return link

    def _replace(self, real: Callable[..., None]) -> Callable[..., None]:
        def replace(source: Any, target: Any, **options: Any) -> None:
            real(source, target, **options)
            if self.is_watched(Path(target)):
                self.disk.change(Path(target), self.disk.node_of(Path(source)))
                self.disk.change(Path(source), None)
                self.look()

        return replace

    def _unlink(self, real: Callable[..., None]) -> Callable[..., None]:
        def unlink(path: Any, *, dir_fd: int | None = None) -> None:
            whole = Path(os.fsdecode(path))
            if dir_fd is not None:
                whole = Path(f"/proc/self/fd/{dir_fd}").readlink() / whole
            real(path, dir_fd=dir_fd)
            if self.is_watched(whole):
                self.disk.change(whole, None)
                self.look()

        return unlink

    def _rmdir(self, real: Callable[..., None]) -> Callable[..., None]:
        return self._unlink(real)

    def _mkdir(self, real: Callable[..., None]) -> Callable[..., None]:
        def mkdir(path: Any, *arguments: Any, **options: Any) -> None:
            real(path, *arguments, **options)
            if self.is_watched(Path(path)) and Path(path) != self.root:
                self.disk.add(Path(path), is_folder=True)
                self.look()

        return mkdir

    def _mkstemp(self, real: Callable[..., tuple[int, str]]) -> Callable[..., tuple[int, str]]:
        def mkstemp(**options: Any) -> tuple[int, str]:
            descriptor, name = real(**options)
            if self.is_watched(Path(name)):
                self.disk.add(Path(name), is_folder=False)
            return descriptor, name

        return mkstemp


def build(state: State, folder: Path) -> Path:
    """The folder, as the power left it."""
    folder.mkdir()
    for name, data in state:
        if data is None:
            (folder / name).mkdir()
        else:
            (folder / name).write_bytes(data)
    return folder
