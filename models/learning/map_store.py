"""Maps of a network's frozen lower stages, computed once a picture and view by ONNX Runtime, and kept on disk."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import nn

from models.data.views import View, view_of
from models.learning.classifier import LowerStages
from models.learning.pixel_store import mapped_rows, rows_key
from models.networks.registry import Build
from models.parallel import OnProgress, map_in_threads, no_progress
from models.serving.export import trunk_onnx
from models.serving.session import ImageSession


def staged_maps(  # noqa: PLR0913, PLR0917 - what the maps are of
    trunk: nn.Module,
    stages: int,
    build: Build,
    pixels: NDArray[np.uint8],
    image_ids: Sequence[str],
    views: tuple[View, ...],
    folder: Path,
    on_progress: OnProgress = no_progress,
) -> NDArray[np.float16]:
    """(V, N, C, h, w) float16 maps behind the lower stages, one view after the other, as a memory map.

    Args:
        trunk: a staged trunk.
        stages: how many of its stages.
        build: what it was built for.
        pixels: (N, H, W, 3) uint8.
        image_ids: digests of the N pictures.
        views: V symmetries.
        folder: where maps are kept.
        on_progress: told of maps that are computed.
    """
    data = trunk_onnx(LowerStages(trunk, stages).eval(), build.size_px, build.channels)
    session = ImageSession(data)
    shape = session.run(np.asarray(pixels[0]))["embedding"].shape

    def rows() -> Iterable[NDArray[np.float16]]:
        items = [(view, k) for view in views for k in range(len(pixels))]
        computed = map_in_threads(lambda item: _maps(session, np.asarray(pixels[item[1]]), item[0]), items)
        for done, maps in enumerate(computed):
            yield maps
            on_progress(done + 1, len(items))

    key = rows_key(hashlib.sha256(data).hexdigest(), list(views), list(image_ids))
    found = mapped_rows(folder / f"{key}.rows", (len(views), len(pixels), *shape), np.dtype(np.float16), rows)
    return np.asarray(found)


def _maps(session: ImageSession, pixels: NDArray[np.uint8], view: View) -> NDArray[np.float16]:
    return np.asarray(session.run(view_of(pixels, view))["embedding"], dtype=np.float16)
