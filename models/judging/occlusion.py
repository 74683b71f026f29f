"""Occlusion maps: how much of a class's probability goes when a place of the picture is hidden (arXiv 1311.2901)."""

from __future__ import annotations

from itertools import islice, product

import numpy as np
from numpy.typing import NDArray

from models.serving.session import ImageSession

# A block's activations have to fit in memory on every core; larger ones were not faster.
_BLOCK_PICTURES = 8
Pixels = NDArray[np.uint8]


def occlusion_map(
    session: ImageSession, pixels: Pixels, class_index: int, patch_share: float, stride_share: float
) -> NDArray[np.float32]:
    """(H, W) float32, -1..1: mean drop of the class's probability over the patches that hide a pixel.

    A patch has the mean colour of the picture. Below zero, hiding a place makes the class likelier.

    Args:
        session: of a model with the output `probabilities`.
        pixels: (H, W, 3) uint8, as the model's contract makes them.
        class_index: position of the class.
        patch_share: side of a patch, of the picture's sides, above 0 and at most 1.
        stride_share: how far a patch moves, of its side, above 0 and at most 1.
    """
    height_px, width_px = pixels.shape[:2]
    rows, columns = (patch_spans(side, patch_share, stride_share) for side in (height_px, width_px))
    before = session.run_block(pixels[np.newaxis], ("probabilities",))["probabilities"][0, class_index]
    colour = np.rint(pixels.mean((0, 1))).astype(np.uint8)
    drops, hidden = np.zeros((height_px, width_px)), np.zeros((height_px, width_px))
    places = iter(list(product(rows, columns)))
    while block := list(islice(places, _BLOCK_PICTURES)):
        found = session.run_block(_hidden(pixels, block, colour), ("probabilities",))["probabilities"]
        for (down, across), after in zip(block, found[:, class_index], strict=True):
            drops[down, across] += float(before) - float(after)
            hidden[down, across] += 1
    return np.asarray(drops / hidden, dtype=np.float32)


def patch_spans(side_px: int, patch_share: float, stride_share: float) -> list[slice]:
    """Where patches lie along a side; together they cover all of it, and the last one ends where it ends."""
    patch_px = min(max(round(side_px * patch_share), 1), side_px)
    stride_px = max(round(patch_px * stride_share), 1)
    starts = [*range(0, side_px - patch_px, stride_px), side_px - patch_px]
    return [slice(start, start + patch_px) for start in starts]


def _hidden(pixels: Pixels, places: list[tuple[slice, slice]], colour: Pixels) -> Pixels:
    """(N, H, W, 3): the picture once a place, with that place hidden."""
    pictures = np.repeat(pixels[np.newaxis], len(places), axis=0)
    for picture, (down, across) in zip(pictures, places, strict=True):
        picture[down, across] = colour
    return pictures
