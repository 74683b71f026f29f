"""What a picture looks like in a few numbers, by which batches of pictures are compared."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Look(NamedTuple):
    """One picture.

    Attributes:
        brightness: mean luminance, 0..1.
        contrast: standard deviation of luminance, 0..1.
        detail: mean difference of neighbouring pixels as the network sees them, 0..1; small is blurred.
        width_px: of the upright picture as it was stored.
        height_px: of the same.
    """

    brightness: float
    contrast: float
    detail: float
    width_px: int
    height_px: int


def detail_of(pixels: NDArray[np.uint8]) -> float:
    """Mean difference of neighbouring pixels, 0..1, in the green of every other row and column.

    Args:
        pixels: (H, W, 3) uint8, as the preprocessing contract makes them.
    """
    across, down = pixels[::2, :, 1].astype(np.int16), pixels[:, ::2, 1].astype(np.int16)
    gaps = [np.abs(np.diff(green, axis=axis)) for axis, green in ((1, across), (0, down))]
    count = sum(gap.size for gap in gaps)
    return float(sum(int(gap.sum()) for gap in gaps) / (255 * count)) if count else 0.0
