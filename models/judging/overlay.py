"""A heat map laid on a grey picture, in colours that colour-blind people tell apart."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

OVERLAY_PX = 240
# Blue, white and red of ColorBrewer's RdBu, from -1 to 1.
_ANCHORS = np.array([-1.0, 0.0, 1.0])
_COLOURS = np.array([(33, 102, 172), (247, 247, 247), (178, 24, 43)], dtype=np.float64)
# At most so much of the colour, so that the picture stays visible below it; and the picture is paled for it.
_COVER = 0.8
_PALE = 0.4
# A few places far above all others would leave the rest without colour.
_FULL_COLOUR_SHARE = 0.99


def shown_size(rgb: Image.Image) -> Image.Image:
    """The picture with its longer side at `OVERLAY_PX`, smaller pictures too."""
    longer = max(rgb.size)
    width_px, height_px = (max(round(side * OVERLAY_PX / longer), 1) for side in rgb.size)
    return rgb.resize((width_px, height_px), Image.Resampling.BILINEAR, reducing_gap=2.0)


def overlay_png(shown: Image.Image, heat: NDArray[np.float32]) -> bytes:
    """PNG bytes of a pale grey picture with a map on it: red where the map is above zero, blue below.

    Args:
        shown: RGB picture, as large as the PNG will be.
        heat: (h, w), any range; the hundredth of it that is farthest from zero gets the full colour.
    """
    values = np.asarray(Image.fromarray(_scaled(heat)).resize(shown.size, Image.Resampling.BILINEAR))
    cover = _COVER * np.abs(values)[..., np.newaxis]
    grey = np.asarray(shown.convert("L"), dtype=np.float64)[..., np.newaxis]
    pale = 255 * _PALE + grey * (1 - _PALE)
    mixed = pale * (1 - cover) + colours_of(values) * cover
    buffer = io.BytesIO()
    Image.fromarray(np.rint(mixed).astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def _scaled(heat: NDArray[np.float32]) -> NDArray[np.float32]:
    """The map in -1..1; zeros where it is zero everywhere."""
    sizes = np.abs(heat)
    full = float(np.quantile(sizes, _FULL_COLOUR_SHARE)) or float(sizes.max()) or 1.0
    return np.asarray(np.clip(heat / full, -1, 1), dtype=np.float32)


def colours_of(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """(..., 3) colours, 0..255, of values in -1..1: blue, white, red."""
    return np.stack([np.interp(values, _ANCHORS, channel) for channel in _COLOURS.T], axis=-1)
