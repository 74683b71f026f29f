"""From a file to an RGB picture, under limits; whatever fails has a status and a reason.

The reasons are a closed set: see `REASONS`.
"""

from __future__ import annotations

import hashlib
import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

import numpy as np
from PIL import Image, UnidentifiedImageError

from models.artifacts.places import is_stored
from models.data.sniff import FORMATS, SNIFFED_BYTES, sniff_format, webp_pixels
from models.data.stored_object import read_object
from models.errors import UnreadableImage

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

REASONS = frozenset(
    {
        "empty_file",
        "not_an_image",
        "format_not_allowed",
        "truncated_or_corrupt",
        "too_many_bytes",
        "too_many_pixels",
        "too_much_memory",
        "too_slow",
        "decoder_crashed",
        "mode_not_supported",
        "changed_while_read",
        "still_written",
        "vanished",
        "not_found",
        "quarantined",
        "permission_denied",
        "io_error",
        "system_file",
        "symlink",
        "not_a_file",
        "sidecar",
        "unreadable_folder",
        "inference_failed",
    }
)
ALPHA_BACKGROUND = (255, 255, 255)
# Pillow's WebP decoder says the same of damage and of lack of memory; a canvas of this size takes half a gigabyte.
_LARGE_WEBP_PIXELS = 36_000_000
_EXIF_ORIENTATION = 0x0112
# Above so many pixels light is measured on a grid: within 0.001 of all pixels, in a fifth of the time.
_MEASURED_PIXELS = 262_144
_GRID_PX = 256
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIDEWAYS = frozenset({5, 6, 7, 8})


class FileLimits(Protocol):
    """What one file may cost: `models.data.limits.DecodeLimits`, or what a worker was told of it."""

    @property
    def max_bytes(self) -> int:
        """Largest file that is read."""

    @property
    def max_pixels(self) -> int:
        """Largest picture that is decoded."""


class FileTimes(NamedTuple):
    """What tells a file from its next version without reading it."""

    size_bytes: int
    mtime_ns: int


class Decoded(NamedTuple):
    """What is in a file's bytes.

    Attributes:
        rgb: the upright picture, without alpha; smaller than the file's own where a draft was asked for.
        format: what the bytes are.
        mode: as stored.
        width_px: of the upright picture at its own size.
        height_px: of the same.
    """

    rgb: Image.Image
    format: str
    mode: str
    width_px: int
    height_px: int


class Picture(NamedTuple):
    """One decoded file; `rgb` is upright, without alpha, and digest and pixels come from the same bytes."""

    sha256: str
    size_bytes: int
    rgb: Image.Image
    format: str
    mode: str
    brightness: float
    contrast: float
    width_px: int
    height_px: int


def read_picture(
    path: str | Path, limits: FileLimits, expected: FileTimes | None = None, draft_px: int | None = None
) -> Picture:
    """The picture in a file, read once.

    Args:
        path: the file.
        limits: what it may cost.
        expected: size and time that it had when it was listed; another file than that is `changed`.
        draft_px: as in `decode_rgb`.

    Raises:
        UnreadableImage: with the status and reason of the predictions table.
    """
    return picture_of(read_file(path, limits.max_bytes, expected), limits.max_pixels, draft_px)


def picture_of(data: bytes, max_pixels: int, draft_px: int | None = None) -> Picture:
    """The picture in a file's bytes.

    Raises:
        UnreadableImage: as `decode_rgb` does.
    """
    found = decode(data, max_pixels, draft_px)
    size = (found.width_px, found.height_px)
    digest = hashlib.sha256(data).hexdigest()
    return Picture(digest, len(data), *found[:3], *light_of(found.rgb), *size)


def read_file(path: str | Path, max_bytes: int, expected: FileTimes | None = None) -> bytes:
    """The bytes of a regular file that did not change while it was read, or of an object in a store.

    Raises:
        UnreadableImage: it vanished, may not be read, changed, is empty or is too large.
    """
    if not isinstance(path, str) and is_stored(path):
        return read_object(path, max_bytes, expected.size_bytes if expected else None)
    try:
        # O_NONBLOCK: opening a FIFO that took the file's place must not wait for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise UnreadableImage(*_open_failure(error)) from error
    with os.fdopen(descriptor, "rb") as file:
        before = os.fstat(descriptor)
        if not stat.S_ISREG(before.st_mode):
            raise UnreadableImage("ignored", "not_a_file")
        if expected is not None and expected != FileTimes(before.st_size, before.st_mtime_ns):
            raise UnreadableImage("changed", "changed_while_read")
        if before.st_size > max_bytes:
            raise UnreadableImage("too_large", "too_many_bytes")
        try:
            data = file.read(before.st_size + 1)
        except OSError as error:
            raise UnreadableImage("unreadable", "io_error") from error
        after = os.fstat(descriptor)
    if (after.st_size, after.st_mtime_ns) != (len(data), before.st_mtime_ns):
        raise UnreadableImage("changed", "changed_while_read")
    if not data:
        raise UnreadableImage("unreadable", "empty_file")
    return data


def decode_rgb(data: bytes, max_pixels: int, draft_px: int | None = None) -> tuple[Image.Image, str, str]:
    """The first three of what `decode` gives."""
    return decode(data, max_pixels, draft_px)[:3]


def decode(data: bytes, max_pixels: int, draft_px: int | None = None) -> Decoded:
    """The upright RGB picture in `data`, and what it was stored as.

    Args:
        data: the whole file.
        max_pixels: largest picture that is decoded.
        draft_px: a JPEG may be decoded at half, a quarter or an eighth of its size, as long as both sides keep so many
            pixels: libjpeg then computes fewer of them. None: at its own size.

    Raises:
        UnreadableImage: no allowed format, too many pixels, damaged, or of a mode without a meaning in 0..255.
    """
    with opened_picture(data, max_pixels) as opened:
        kind, mode, size = str(opened.format), opened.mode, opened.size
        if draft_px is not None and kind == "JPEG":
            opened.draft(mode, (draft_px, draft_px))
        opened.load()
        orientation = orientation_of(opened)
        width_px, height_px = size[::-1] if orientation in _SIDEWAYS else size
        return Decoded(to_rgb(turn_upright(opened, orientation)), kind, mode, width_px, height_px)


@contextmanager
def opened_picture(data: bytes, max_pixels: int) -> Iterator[ImageFile]:
    """The first frame in `data`, its header read and checked, its pixels not decoded yet.

    Raises:
        UnreadableImage: it is refused here, or decoding it inside the block fails.
    """
    found = sniff_format(data[:SNIFFED_BYTES])
    if found not in FORMATS:
        raise UnreadableImage("unsupported", "not_an_image" if found is None else "format_not_allowed")
    promised = webp_pixels(data[:SNIFFED_BYTES]) if found == "WEBP" else 0
    if promised > max_pixels:
        raise UnreadableImage("too_large", "too_many_pixels")
    Image.MAX_IMAGE_PIXELS = None  # the limit below is the one that counts, and the only one
    try:
        # A JPEG may hold further pictures (MPO); its first one is what counts.
        with Image.open(io.BytesIO(data), formats=("JPEG",) if found == "JPEG" else (found,)) as opened:
            if opened.width * opened.height > max_pixels:
                raise UnreadableImage("too_large", "too_many_pixels")
            yield opened
    except (UnreadableImage, MemoryError):
        raise  # lack of memory is the machine's failing, not the file's
    except UnidentifiedImageError as error:
        raise UnreadableImage("unreadable", "truncated_or_corrupt") from error
    # Decoders raise whatever their parsers meet: OSError, ValueError, SyntaxError, struct.error.
    except Exception as error:
        if promised >= _LARGE_WEBP_PIXELS and "decoder object" in str(error):
            raise UnreadableImage("too_large", "too_much_memory") from error
        raise UnreadableImage("unreadable", "truncated_or_corrupt") from error


def orientation_of(opened: Image.Image) -> int:
    """EXIF orientation, 1..8; 1 where there is none or it is nonsense."""
    try:
        found = opened.getexif().get(_EXIF_ORIENTATION, 1)
    # Broken metadata says nothing about the pixels.
    except Exception:
        return 1
    return found if found in _UPRIGHT else 1


def turn_upright(picture: Image.Image, orientation: int) -> Image.Image:
    """The picture as it is meant to be seen."""
    return picture.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else picture


def light_of(rgb: Image.Image) -> tuple[float, float]:
    """Mean and standard deviation of luminance, both in 0..1; of a large picture, those of a grid of its pixels."""
    if rgb.width * rgb.height > _MEASURED_PIXELS:
        rgb = rgb.resize((_GRID_PX, _GRID_PX), Image.Resampling.NEAREST)
    counts = np.asarray(rgb.convert("L").histogram(), dtype=np.float64)
    levels = np.arange(256) / 255
    mean = float(counts @ levels / counts.sum())
    return mean, float(np.sqrt(counts @ (levels - mean) ** 2 / counts.sum()))


def to_rgb(picture: Image.Image) -> Image.Image:
    """RGB by a written policy: 16 bits by their high byte, alpha on white; float and 32-bit are refused."""
    if picture.mode.startswith("I;16"):
        high_byte = (np.asarray(picture).astype(np.uint32) >> 8).astype(np.uint8)
        return Image.fromarray(high_byte).convert("RGB")
    if picture.mode in ("F", "I"):
        raise UnreadableImage("unsupported", "mode_not_supported")
    if "A" in picture.mode or "transparency" in picture.info:
        layers = picture.convert("RGBA")
        # The same pixels as Image.alpha_composite, in half its memory.
        background = Image.new("RGB", layers.size, ALPHA_BACKGROUND)
        background.paste(layers, mask=layers.getchannel("A"))
        return background
    return picture.convert("RGB")


def _open_failure(error: OSError) -> tuple[Literal["vanished", "denied", "ignored", "unreadable"], str]:
    if isinstance(error, FileNotFoundError):
        return "vanished", "vanished"
    if isinstance(error, PermissionError):
        return "denied", "permission_denied"
    if error.errno == 40:  # ELOOP: a link took the file's place
        return "ignored", "symlink"
    return "unreadable", "io_error"
