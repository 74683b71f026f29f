"""Features of a frozen trunk, computed once a picture and kept by the digests of trunk, contract and picture."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load, save

from models.artifacts.durable import write_durably
from models.data.decode import Picture, read_picture
from models.data.limits import NO_LIMITS
from models.data.preprocess import Preprocess
from models.data.views import View, view_of
from models.errors import ArtifactChanged, UnreadableImage
from models.parallel import OnProgress, map_in_threads, no_progress
from models.serving.session import ImageSession

PART_ROWS = 512


def load_pixels(path: Path, image_id: str, preprocess: Preprocess) -> NDArray[np.uint8]:
    """(height_px, width_px, 3) uint8 of the very picture that was scanned; raises what `load_picture` raises."""
    return preprocess.apply(load_picture(path, image_id, preprocess.draft_px).rgb)


def load_picture(path: Path, image_id: str, draft_px: int | None = None) -> Picture:
    """The very picture that was scanned; a JPEG at the scale that `decode_rgb` gives for `draft_px`.

    Raises:
        ArtifactChanged: the file has other bytes than at the scan, or no longer reads.
    """
    try:
        picture = read_picture(path, NO_LIMITS, draft_px=draft_px)
    except UnreadableImage as error:
        found = f"{path} is {error.status}: {error.reason}"
    else:
        if picture.sha256 == image_id:
            return picture
        found = f"{path} has other bytes than at the scan"
    raise ArtifactChanged(found, "the pictures as they were scanned", "Run the same command again.")


class FeatureStore:
    """Features on disk, in parts of 512 pictures; a part is whole or absent, so an interrupted run goes on."""

    def __init__(self, folder: Path, trunk: bytes, preprocess: Preprocess, kind: str = "") -> None:
        self._trunk = trunk
        self._preprocess = preprocess
        key = hashlib.sha256(trunk + preprocess.digest.encode() + kind.encode()).hexdigest()[:20]
        self._folder = folder / key

    def features(
        self,
        paths: Sequence[Path],
        image_ids: Sequence[str],
        view: View = "as_is",
        on_progress: OnProgress = no_progress,
    ) -> NDArray[np.float32]:
        """(N, D) float32 embeddings in the order of `paths`; only unknown pictures are decoded."""
        known = self._read(view)
        missing = {i: p for p, i in zip(paths, image_ids, strict=True) if i not in known}
        items = sorted(missing.items())
        done = len(paths) - len(items)
        session = ImageSession(self._trunk) if items else None
        for start in range(0, len(items), PART_ROWS):
            part = items[start : start + PART_ROWS]
            rows = []
            assert session is not None  # narrows the type: items is not empty here
            for row in map_in_threads(lambda item: self._embed(session, item[1], item[0], view), part):
                rows.append(row)
                done += 1
                on_progress(done, len(paths))
            self._write(view, [i for i, _ in part], np.stack(rows))
            known.update(zip((i for i, _ in part), rows, strict=True))
        return np.stack([known[i] for i in image_ids])

    def _embed(self, session: ImageSession, path: Path, image_id: str, view: View) -> NDArray[np.float32]:
        pixels = load_pixels(path, image_id, self._preprocess)
        return np.asarray(session.run(view_of(pixels, view), ("embedding",))["embedding"], dtype=np.float32)

    def _read(self, view: View) -> dict[str, NDArray[np.float32]]:
        known: dict[str, NDArray[np.float32]] = {}
        for path in sorted((self._folder / view).glob("*.safetensors")):
            part = load(path.read_bytes())
            ids = [bytes(row).hex() for row in part["image_id"]]
            known.update(zip(ids, part["features"], strict=True))
        return known

    def _write(self, view: View, image_ids: list[str], rows: NDArray[np.float32]) -> None:
        digests = np.frombuffer(bytes.fromhex("".join(image_ids)), dtype=np.uint8).reshape(-1, 32)
        data = save({"image_id": digests, "features": np.ascontiguousarray(rows)})
        name = hashlib.sha256("".join(image_ids).encode()).hexdigest()[:20]
        write_durably(self._folder / view / f"{name}.safetensors", data)
