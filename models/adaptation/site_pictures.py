"""A site's pictures as a champion sees them: embeddings and looks, computed once a picture and kept."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from models.data.listing import file_name
from models.data.look import Look, detail_of
from models.data.preprocess import Preprocess
from models.data.split import readable_rows
from models.data.views import View, view_of
from models.errors import DataError
from models.learning.embed import FeatureStore, load_picture
from models.parallel import OnProgress, no_progress
from models.serving.bundle import Bundle
from models.serving.session import ImageSession

_LOOKS = len(Look._fields)


class SitePictures(NamedTuple):
    """Pictures of a site.

    Attributes:
        image_ids: digests of the N pictures.
        labels: class of each; None where it has none.
        embeddings: (N, D) float32.
        looks: (N, 5) float32, in the order of `Look`.
    """

    image_ids: tuple[str, ...]
    labels: tuple[str | None, ...]
    embeddings: NDArray[np.float32]
    looks: NDArray[np.float32]

    @property
    def labelled(self) -> NDArray[np.int64]:
        """Positions of the pictures with a label."""
        return np.array([k for k, label in enumerate(self.labels) if label is not None], dtype=np.int64)


def look_at_site(
    bundle: Bundle,
    parts: Sequence[tuple[Path, pa.Table]],
    features_dir: Path,
    on_progress: OnProgress = no_progress,
) -> SitePictures:
    """The readable pictures of some folders, each once; a picture that is in several keeps the label it has in one.

    Args:
        bundle: whose network looks at them.
        parts: folders with their table MANIFEST.
        features_dir: where what was seen is kept.
        on_progress: told of pictures that are done.

    Raises:
        DataError: a picture has several labels, or labels that contradict each other.
    """
    path_of: dict[str, Path] = {}
    labels_of: dict[str, set[str]] = {}
    for folder, manifest in parts:
        for row in readable_rows(manifest).to_pylist():
            path_of.setdefault(row["image_id"], folder / file_name(row))
            labels_of.setdefault(row["image_id"], set()).update(row["labels"] or filter(None, [row["label"]]))
    several = sorted(str(path_of[i]) for i, labels in labels_of.items() if len(labels) > 1)
    if several:
        raise DataError(
            f"{len(several)} pictures have several labels, first {several[0]}",
            "one label a picture",
            "Mend the labels of the site's pictures.",
        )
    ids = tuple(sorted(path_of))
    store = _LookedAt(features_dir, bundle.onnx_bytes, bundle.card.preprocess)
    seen = store.features([path_of[i] for i in ids], ids, on_progress=on_progress)
    return SitePictures(ids, tuple(next(iter(labels_of[i]), None) for i in ids), seen[:, :-_LOOKS], seen[:, -_LOOKS:])


class _LookedAt(FeatureStore):
    """Embeddings with the look of each picture behind them."""

    def __init__(self, folder: Path, trunk: bytes, preprocess: Preprocess) -> None:
        super().__init__(folder, trunk, preprocess, kind="looked_at")

    def _embed(self, session: ImageSession, path: Path, image_id: str, view: View) -> NDArray[np.float32]:
        picture = load_picture(path, image_id, self._preprocess.draft_px)
        pixels = view_of(self._preprocess.apply(picture.rgb), view)
        light, size = (picture.brightness, picture.contrast), (picture.width_px, picture.height_px)
        look = np.array(Look(*light, detail_of(pixels), *size), dtype=np.float32)
        embedding = session.run(pixels, ("embedding",))["embedding"]
        return np.concatenate([np.asarray(embedding, dtype=np.float32), look])
