from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.data.decode import REASONS, decode_rgb, light_of, read_file, read_picture
from models.data.limits import DecodeLimits
from models.errors import UnreadableImage
from tests.pictures import bomb_png, draw, encode, png_with_flipped_byte

PICTURE = draw("round", np.random.default_rng(0))
PNG = encode(PICTURE, "PNG")
JPEG = encode(PICTURE, "JPEG", quality=90)


@pytest.mark.parametrize(
    ("data", "status", "reason"),
    [
        (b"", "unreadable", "empty_file"),
        (b"<html>no</html>", "unsupported", "not_an_image"),
        (PNG[:20], "unreadable", "truncated_or_corrupt"),
        (PNG[: len(PNG) // 2], "unreadable", "truncated_or_corrupt"),
        (JPEG[: len(JPEG) // 2], "unreadable", "truncated_or_corrupt"),
        (JPEG[:-2], "unreadable", "truncated_or_corrupt"),
        (png_with_flipped_byte(PICTURE), "unreadable", "truncated_or_corrupt"),
        (bomb_png(), "too_large", "too_many_pixels"),
        (encode(Image.new("F", (8, 8), 0.5), "TIFF"), "unsupported", "mode_not_supported"),
        (encode(PICTURE, "ICO"), "unsupported", "format_not_allowed"),
    ],
)
def test_what_cannot_be_decoded_says_why(tmp_path: Path, data: bytes, status: str, reason: str) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(data)
    with pytest.raises(UnreadableImage) as error:
        read_picture(path, DecodeLimits())
    assert (error.value.status, error.value.reason) == (status, reason)
    assert reason in REASONS


def test_limits_hold_at_their_boundary(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(PNG)
    exact = DecodeLimits(max_bytes=len(PNG), max_pixels=PICTURE.width * PICTURE.height)
    assert read_picture(path, exact).size_bytes == len(PNG)
    for limits in (
        DecodeLimits(max_bytes=len(PNG) - 1),
        DecodeLimits(max_pixels=PICTURE.width * PICTURE.height - 1),
    ):
        with pytest.raises(UnreadableImage) as error:
            read_picture(path, limits)
        assert error.value.status == "too_large"


def test_files_that_are_none_say_so(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "pipe")
    for name, expected in (("pipe", "ignored"), ("link", "ignored"), ("nowhere", "vanished")):
        with pytest.raises(UnreadableImage) as error:
            read_file(tmp_path / name, 100)
        assert error.value.status == expected


def test_sixteen_bits_keep_their_brightness() -> None:
    grey = Image.fromarray(np.full((4, 4), 126 * 256 + 7, dtype=np.uint16))
    rgb, kind, mode = decode_rgb(encode(grey, "PNG"), 100)
    assert (kind, mode) == ("PNG", "I;16")
    assert np.asarray(rgb).tolist() == np.full((4, 4, 3), 126).tolist()


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparent_pixels_are_white_and_reveal_nothing(mode: str) -> None:
    hidden = Image.new("RGBA", (4, 4), (10, 20, 30, 0)).convert(mode)
    rgb, _, _ = decode_rgb(encode(hidden, "PNG"), 100)
    assert np.asarray(rgb).min() == 255


def test_palette_with_transparency_is_composited() -> None:
    paletted = Image.new("P", (4, 4), 1)
    paletted.putpalette([0, 0, 0, 200, 0, 0])
    rgb, _, _ = decode_rgb(encode(paletted, "PNG", transparency=bytes([255, 0])), 100)
    assert np.asarray(rgb).min() == 255


def test_exif_orientation_is_applied() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    wide = Image.new("RGB", (30, 10), (90, 90, 90))
    rgb, _, _ = decode_rgb(encode(wide, "JPEG", exif=exif), 1000)
    assert rgb.size == (10, 30)


def test_modes_and_frames_become_one_rgb_picture() -> None:
    for data in (
        encode(PICTURE.convert("CMYK"), "JPEG"),
        encode(PICTURE.convert("L"), "PNG"),
        encode(PICTURE.convert("1"), "PNG"),
        encode(PICTURE, "GIF", save_all=True, append_images=[Image.new("RGB", PICTURE.size)]),
        encode(PICTURE, "WEBP"),
        encode(PICTURE, "BMP"),
    ):
        rgb, _, _ = decode_rgb(data, 10_000)
        assert (rgb.mode, rgb.size) == ("RGB", PICTURE.size)


def test_light_of_a_flat_and_of_a_two_tone_picture() -> None:
    assert light_of(Image.new("RGB", (8, 8), (51, 51, 51))) == pytest.approx((0.2, 0.0))
    halves = Image.fromarray(np.repeat(np.array([[0], [255]], dtype=np.uint8), 8, axis=1)).convert("RGB")
    assert light_of(halves) == pytest.approx((0.5, 0.5))
