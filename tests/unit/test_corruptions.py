"""Pictures are spoiled equally by equal draws, more at higher severities, and alike whatever their size."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from models.judging.corruptions import CORRUPTIONS, SEVERITIES, corrupted, jpeg_coded

# What is seen by its edges is too coarse at 64 px, and JPEG's blocks have one size, to be as much at both.
_ALIKE = [name for name in CORRUPTIONS if name not in ("pixelate", "jpeg")]


def _scene(side_px: int) -> NDArray[np.uint8]:
    """The same smooth bows and a disc at any size."""
    y, x = (np.mgrid[:side_px, :side_px] + 0.5) / side_px
    bows = 110 + 60 * np.sin(9 * x + 3 * y)[..., None] * np.array([1.0, 0.8, 0.6])
    disc = np.hypot(y - 0.4, x - 0.55) < 0.2
    return np.asarray(np.clip(bows + 70 * disc[..., None], 0, 255), dtype=np.uint8)


def _harm(pixels: NDArray[np.uint8], name: str, severity: int, seen_px: int) -> float:
    """Root mean square of what is changed, seen by a network of that side, on average over draws."""
    found = []
    for seed in range(3):
        spoiled = corrupted(pixels, name, severity, np.random.default_rng(seed))
        before, after = (
            np.asarray(Image.fromarray(seen).resize((seen_px, seen_px), Image.Resampling.BILINEAR), dtype=float)
            for seen in (pixels, spoiled)
        )
        found.append(np.sqrt(((before - after) ** 2).mean()))
    return float(np.mean(found))


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_equal_draws_spoil_equally_and_inputs_stay(name: str) -> None:
    pixels = _scene(48)[:, :40]
    before = pixels.copy()
    first, again = (corrupted(pixels, name, 3, np.random.default_rng(5)) for _ in range(2))
    assert first.dtype == np.uint8
    assert first.shape == pixels.shape
    assert np.array_equal(first, again)
    assert not np.array_equal(first, pixels)
    assert np.array_equal(pixels, before)
    assert first.base is None or not np.shares_memory(first, pixels)


@pytest.mark.parametrize("name", CORRUPTIONS)
@pytest.mark.parametrize("side_px", [32, 64, 300])
def test_higher_severities_change_more(name: str, side_px: int) -> None:
    pixels = _scene(side_px)
    harm = [
        np.mean([np.abs(corrupted(pixels, name, s, np.random.default_rng(k)) - pixels.astype(float)) for k in range(4)])
        for s in SEVERITIES
    ]
    assert 0 < harm[0] < harm[1] < harm[2]


@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("name", _ALIKE)
def test_small_and_large_pictures_are_spoiled_alike(name: str, severity: int) -> None:
    # No noise of single pixels is alike at both sides: what is less for a small network is more for a large one.
    ratios = [_harm(_scene(1000), name, severity, seen) / _harm(_scene(64), name, severity, seen) for seen in (64, 224)]
    assert 1 / 1.35 < np.sqrt(ratios[0] * ratios[1]) < 1.35


@pytest.mark.parametrize("name", ["rotation", "shift", "motion_blur"])
def test_moves_leave_an_even_picture_as_it_is(name: str) -> None:
    even = np.full((30, 40, 3), (10, 120, 250), dtype=np.uint8)
    assert np.abs(corrupted(even, name, 5, np.random.default_rng(0)).astype(int) - even).max() <= 1


def test_shift_moves_by_the_stated_share() -> None:
    pixels = np.zeros((100, 100, 3), dtype=np.uint8)
    pixels[50, 50] = 255
    moved = corrupted(pixels, "shift", 5, np.random.default_rng(0))
    (row, column) = np.argwhere(moved[..., 0])[0]
    assert np.hypot(row - 50, column - 50) == pytest.approx(15, abs=1)


def test_brighter_is_brighter_and_keeps_its_hue() -> None:
    pixels = np.full((4, 4, 3), (100, 50, 50), dtype=np.uint8)
    assert corrupted(pixels, "brightness", 3, np.random.default_rng(0))[0, 0] == pytest.approx([176, 88, 88], abs=2)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_pictures_of_one_pixel_and_of_one_row_go_through(name: str) -> None:
    for shape in ((1, 1, 3), (1, 50, 3), (50, 1, 3)):
        pixels = np.full(shape, 90, dtype=np.uint8)
        assert corrupted(pixels, name, 5, np.random.default_rng(0)).shape == shape


def test_lower_quality_loses_more() -> None:
    pixels = _scene(64)
    lost = [np.abs(jpeg_coded(pixels, quality) - pixels.astype(float)).mean() for quality in (90, 50, 10)]
    assert lost[0] < lost[1] < lost[2]
