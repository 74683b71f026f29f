"""A real picture in the sizes, modes and formats that real folders hold: what exports and machines are checked with."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

_LARGEST_PX = 1024
_ORIENTATION_TAG, _QUARTER_TURN = 0x0112, 6


def odd_picture(rgb: Image.Image, position: int) -> bytes:
    """The picture as a file of another kind at each position; the kinds come round after `len(KINDS)`.

    Large ones become smaller first: bundles carry such files.
    """
    smaller = rgb.copy()
    smaller.thumbnail((_LARGEST_PX, _LARGEST_PX))
    return KINDS[position % len(KINDS)](smaller)


def _encoded(picture: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def _grey(rgb: Image.Image) -> bytes:
    return _encoded(rgb.convert("L").resize((211, 97)), "PNG")


def _palette(rgb: Image.Image) -> bytes:
    return _encoded(rgb.quantize(64), "PNG")


def _transparent(rgb: Image.Image) -> bytes:
    layers = rgb.convert("RGBA")
    layers.putalpha(Image.linear_gradient("L").resize(rgb.size))
    return _encoded(layers, "PNG")


def _subsampled(rgb: Image.Image) -> bytes:
    return _encoded(rgb.resize((333, 251)), "JPEG", quality=85, subsampling=2)


def _inks(rgb: Image.Image) -> bytes:
    return _encoded(rgb.convert("CMYK"), "JPEG", quality=92)


def _turned(rgb: Image.Image) -> bytes:
    exif = Image.Exif()
    exif[_ORIENTATION_TAG] = _QUARTER_TURN
    return _encoded(rgb.resize((123, 345)), "JPEG", exif=exif, progressive=True)


def _sixteen_bits(rgb: Image.Image) -> bytes:
    wide = np.asarray(rgb.convert("L"), dtype=np.uint16) * 257
    return _encoded(Image.fromarray(wide), "PNG")


def _two_tones(rgb: Image.Image) -> bytes:
    return _encoded(rgb.convert("1"), "PNG")


def _tiny(rgb: Image.Image) -> bytes:
    return _encoded(rgb.resize((9, 7)), "BMP")


def _narrow(rgb: Image.Image) -> bytes:
    return _encoded(rgb.resize((17, 301)), "TIFF")


def _web(rgb: Image.Image) -> bytes:
    return _encoded(rgb.resize((199, 201)), "WEBP", quality=80)


def _as_it_is(rgb: Image.Image) -> bytes:
    return _encoded(rgb, "PNG")


KINDS: tuple[Callable[[Image.Image], bytes], ...] = (
    _as_it_is,
    _grey,
    _subsampled,
    _palette,
    _turned,
    _transparent,
    _inks,
    _sixteen_bits,
    _two_tones,
    _tiny,
    _narrow,
    _web,
)
