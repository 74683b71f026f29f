"""Common ways in which pictures are spoiled, each at three severities, by one draw a picture.

Kinds and strengths are those of Hendrycks and Dietterich (arXiv 1903.12261) at severities 1, 3 and 5, with small turns
and shifts beside them. Theirs are for pictures of 224 px: lengths scale with the shorter side here. What has a pixel
as its unit, noise and coarse pixels, goes with the side to the power of 0.6, as their own tables for 64 and 32 px do.
JPEG's blocks are of 8 px at any side.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

Pixels = NDArray[np.uint8]
Severity = int
SEVERITIES: tuple[Severity, ...] = (1, 3, 5)
_PUBLISHED_SIDE_PX = 224
_FINER = 0.6
_MOST_CELLS = 0.95
_BLUR_TAPS = 16
# Less is nothing; their table for 32 px begins here.
_LEAST_BLUR_PX = 0.4

_NOISE = {1: 0.08, 3: 0.18, 5: 0.38}
_BLUR_PX = {1: 1.0, 3: 3.0, 5: 6.0}
_MOTION_PX = {1: (10.0, 3.0), 3: (15.0, 8.0), 5: (20.0, 15.0)}
_BRIGHTNESS = {1: 0.1, 3: 0.3, 5: 0.5}
_CONTRAST = {1: 0.4, 3: 0.2, 5: 0.05}
_JPEG_QUALITY = {1: 25, 3: 15, 5: 7}
_CELLS = {1: 0.6, 3: 0.4, 5: 0.25}
_TURN_DEGREES = {1: 4.0, 3: 10.0, 5: 20.0}
_SHIFT = {1: 0.03, 3: 0.08, 5: 0.15}


def corrupted(pixels: Pixels, name: str, severity: Severity, rng: np.random.Generator) -> Pixels:
    """The picture spoiled in one way; (H, W, 3) uint8 of new memory, 0..255.

    Args:
        pixels: (H, W, 3) uint8 RGB; it is not changed.
        name: one of CORRUPTIONS.
        severity: 1, 3 or 5.
        rng: equal ones spoil equally; one state gives the same direction at every severity.
    """
    return np.ascontiguousarray(CORRUPTIONS[name](pixels, severity, rng))


def jpeg_coded(pixels: Pixels, quality: int) -> Pixels:
    """(H, W, 3) uint8 as a JPEG of that quality, 1..100, gives them back."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    with Image.open(buffer, formats=("JPEG",)) as opened:
        return np.asarray(opened.convert("RGB"))


def _gaussian_noise(pixels: Pixels, severity: Severity, rng: np.random.Generator) -> Pixels:
    """Noise no finer than a picture of 224 px can show: it would vanish from a larger one when that is reduced."""
    height, width = pixels.shape[:2]
    side = min(height, width)
    shrunk = min(_PUBLISHED_SIDE_PX / side, 1.0)
    grain = max(round(height * shrunk), 1), max(round(width * shrunk), 1)
    strength = 255 * _NOISE[severity] * min(side / _PUBLISHED_SIDE_PX, 1.0) ** _FINER
    noise = rng.standard_normal((*grain, 3), dtype=np.float32) * np.float32(strength)
    if grain != (height, width):
        noise = noise[_nearest(height, grain[0])][:, _nearest(width, grain[1])]
    return _as_pixels(pixels + noise)


def _gaussian_blur(pixels: Pixels, severity: Severity, _: np.random.Generator) -> Pixels:
    spread = max(_scaled(pixels, _BLUR_PX[severity]), _LEAST_BLUR_PX)
    return np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(spread)))


def _motion_blur(pixels: Pixels, severity: Severity, rng: np.random.Generator) -> Pixels:
    """A half-bell along a line within 45 degrees of level, as a camera leaves that moves and stops."""
    length, spread = (_scaled(pixels, value) for value in _MOTION_PX[severity])
    angle = rng.uniform(-math.pi / 4, math.pi / 4)
    steps = np.linspace(0, length, min(math.ceil(length) + 1, _BLUR_TAPS))
    weights = np.exp(-((steps / spread) ** 2) / 2)
    moved = np.zeros(pixels.shape, dtype=np.float32)
    for step, weight in zip(steps.tolist(), (weights / weights.sum()).tolist(), strict=True):
        down, across = round(step * math.sin(angle)), round(step * math.cos(angle))
        moved += np.float32(weight) * _shifted(pixels, down, across)
    return _as_pixels(moved)


def _brightness(pixels: Pixels, severity: Severity, _: np.random.Generator) -> Pixels:
    """More of the value of hue, saturation and value."""
    hue, saturation, value = Image.fromarray(pixels).convert("HSV").split()
    lighter = np.minimum(np.asarray(value, dtype=np.int16) + round(255 * _BRIGHTNESS[severity]), 255)
    raised = Image.fromarray(lighter.astype(np.uint8))
    return np.asarray(Image.merge("HSV", (hue, saturation, raised)).convert("RGB"))


def _contrast(pixels: Pixels, severity: Severity, _: np.random.Generator) -> Pixels:
    mean = pixels.mean((0, 1), dtype=np.float32)
    return _as_pixels((pixels - mean) * np.float32(_CONTRAST[severity]) + mean)


def _jpeg(pixels: Pixels, severity: Severity, _: np.random.Generator) -> Pixels:
    return jpeg_coded(pixels, _JPEG_QUALITY[severity])


def _pixelate(pixels: Pixels, severity: Severity, _: np.random.Generator) -> Pixels:
    """Coarse squares, each the mean of what it covers."""
    height, width = pixels.shape[:2]
    side = min(height, width)
    cells = _CELLS[severity] * _PUBLISHED_SIDE_PX * min(side / _PUBLISHED_SIDE_PX, 1.0) ** _FINER
    share = min(cells / side, _MOST_CELLS)
    coarse = max(round(width * share), 1), max(round(height * share), 1)
    small = Image.fromarray(pixels).resize(coarse, Image.Resampling.BOX)
    return np.asarray(small.resize((width, height), Image.Resampling.NEAREST))


def _rotation(pixels: Pixels, severity: Severity, rng: np.random.Generator) -> Pixels:
    """A turn about the centre to either side; what lies outside is mirrored in."""
    height, width = pixels.shape[:2]
    angle = _TURN_DEGREES[severity] * rng.choice((-1.0, 1.0))
    margin = math.ceil(math.hypot(height, width) * abs(math.sin(math.radians(angle))) / 2) + 1
    padded = np.pad(pixels, ((margin, margin), (margin, margin), (0, 0)), "symmetric")
    turned = Image.fromarray(padded).rotate(angle, Image.Resampling.BILINEAR)
    return np.asarray(turned)[margin : margin + height, margin : margin + width]


def _shift(pixels: Pixels, severity: Severity, rng: np.random.Generator) -> Pixels:
    """Along a line of any direction; what lies outside is mirrored in."""
    direction = rng.uniform(0, 2 * math.pi)
    down, across = (
        round(_SHIFT[severity] * side * part)
        for side, part in zip(pixels.shape[:2], (math.sin(direction), math.cos(direction)), strict=True)
    )
    return _shifted(pixels, down, across)


CORRUPTIONS: dict[str, Callable[[Pixels, Severity, np.random.Generator], Pixels]] = {
    "gaussian_noise": _gaussian_noise,
    "gaussian_blur": _gaussian_blur,
    "motion_blur": _motion_blur,
    "brightness": _brightness,
    "contrast": _contrast,
    "jpeg": _jpeg,
    "pixelate": _pixelate,
    "rotation": _rotation,
    "shift": _shift,
}


def _shifted(pixels: Pixels, down: int, across: int) -> Pixels:
    """Moved by whole pixels; what lies outside is mirrored in."""
    height, width = pixels.shape[:2]
    rows = (max(down, 0), max(-down, 0))
    columns = (max(across, 0), max(-across, 0))
    padded = np.pad(pixels, (rows, columns, (0, 0)), "symmetric")
    top, left = max(-down, 0), max(-across, 0)
    return padded[top : top + height, left : left + width]


def _scaled(pixels: Pixels, length_px: float) -> float:
    """A length of the published pictures in pixels of this one."""
    return float(length_px * min(pixels.shape[:2]) / _PUBLISHED_SIDE_PX)


def _nearest(count: int, coarse: int) -> NDArray[np.int64]:
    """(count,) which of so many coarse cells lies under each pixel."""
    return np.arange(count) * coarse // count


def _as_pixels(values: NDArray[np.float32]) -> Pixels:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
