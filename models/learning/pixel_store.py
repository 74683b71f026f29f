"""Pictures decoded and resized once, by the scoring machine's own steps, and kept as one memory map on disk."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.artifacts.durable import TEMPORARY_PREFIX, make_folder, sha256_of, storage_errors, write_durably
from models.data.preprocess import Preprocess
from models.errors import StorageError
from models.learning.embed import load_pixels
from models.parallel import OnProgress, map_in_threads, no_progress

Rows = NDArray[np.generic]


class PixelStore:
    """Pictures of one preprocessing, by the digests of the pictures and their order."""

    def __init__(self, folder: Path, preprocess: Preprocess) -> None:
        self._folder = folder
        self._preprocess = preprocess

    def pixels(
        self, paths: Sequence[Path], image_ids: Sequence[str], on_progress: OnProgress = no_progress
    ) -> NDArray[np.uint8]:
        """(N, H, W, 3) uint8 in the order of `paths`, read from disk as they are asked for.

        Raises:
            ArtifactChanged: a picture has other bytes than at the scan.
            StorageError: there is no room for them.
        """
        key = rows_key(self._preprocess.digest, image_ids)
        shape = (len(paths), self._preprocess.height_px, self._preprocess.width_px, 3)
        items = list(zip(paths, image_ids, strict=True))

        def rows() -> Iterable[Rows]:
            loaded = map_in_threads(lambda item: load_pixels(item[0], item[1], self._preprocess), items)
            for done, row in enumerate(loaded):
                yield row
                on_progress(done + 1, len(items))

        return np.asarray(mapped_rows(self._folder / f"{key}.rows", shape, np.dtype(np.uint8), rows))


def rows_key(*parts: str | Sequence[str]) -> str:
    """A file name for rows that are made from what `parts` say."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:24]


def mapped_rows(
    path: Path, shape: tuple[int, ...], dtype: np.dtype[np.generic], make: Callable[[], Iterable[Rows]]
) -> NDArray[np.generic]:
    """The array at `path` as a read-only memory map; made from its rows where it is not there, or not whole.

    Raises:
        StorageError: there is no room for it.
    """
    seal = path.with_suffix(".sha256")
    size = int(np.prod(shape)) * dtype.itemsize
    if not (path.is_file() and seal.is_file() and path.stat().st_size == size and seal.read_text() == sha256_of(path)):
        write_durably(seal, _write_rows(path, size, make()).encode())
    return np.memmap(path, dtype=dtype, mode="r", shape=shape)


def _write_rows(path: Path, size: int, rows: Iterable[Rows]) -> str:
    """Hex sha256 of what was written."""
    make_folder(path.parent)
    free = shutil.disk_usage(path.parent).free
    if free < size:
        raise StorageError(
            f"pictures made ready take {size / 1e9:.1f} GB, and {path.parent} has {free / 1e9:.1f} GB left",
            "room for all of them",
            "Free space, take another --workspace, or set training.size_px lower.",
        )
    temporary, digest = path.with_name(f"{TEMPORARY_PREFIX}{path.name}-{os.getpid()}"), hashlib.sha256()
    try:
        with storage_errors(path, "written"), temporary.open("wb") as file:
            for row in rows:
                part = np.ascontiguousarray(row).tobytes()
                digest.update(part)
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        return digest.hexdigest()
    finally:
        temporary.unlink(missing_ok=True)
