"""Pictures that tests make themselves: classes a small network tells apart, and files nothing should trip over."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from models.data.elpv import damaged_files, png_header

CLASSES = ("down", "round", "side")


def draw(label: str, rng: np.random.Generator, side_px: int = 40) -> Image.Image:
    """Stripes down, stripes to the side, or a disc; random phase, tint and noise."""
    y, x = np.mgrid[:side_px, :side_px]
    phase = rng.uniform(0, 6.28)
    if label == "down":
        base = np.sin(x * 0.9 + phase)
    elif label == "side":
        base = np.sin(y * 0.9 + phase)
    else:
        centre = rng.uniform(0.35, 0.65, 2) * side_px
        base = np.where(np.hypot(y - centre[0], x - centre[1]) < side_px / 4, 1.0, -1.0)
    tint = rng.uniform(0.6, 1.0, 3)
    noise = rng.normal(0, 12, (side_px, side_px, 3))
    pixels = 128 + 80 * base[..., None] * tint + noise
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def textured(seed: int, side_px: int) -> Image.Image:
    """A grey picture with structure at all scales, as photographs have."""
    noise = np.fft.fft2(np.random.default_rng(seed).normal(size=(side_px, side_px)))
    frequency = np.hypot(np.fft.fftfreq(side_px)[:, None], np.fft.fftfreq(side_px))
    field = np.real(np.fft.ifft2(noise / np.maximum(frequency, 1 / side_px)))
    pixels = (field - field.mean()) / field.std() * 50 + 120
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def write_labelled(root: Path, counts: dict[str, int], seed: int = 0) -> Path:
    """A folder with one folder a class, and `slices.csv` with a column `camera`."""
    rng = np.random.default_rng(seed)
    lines = ["path,camera"]
    for label, count in counts.items():
        (root / label).mkdir(parents=True, exist_ok=True)
        for k in range(count):
            name = f"{label}/{k:04}.png"
            draw(label, rng).save(root / name)
            lines.append(f"{name},{'left' if k % 2 else 'right'}")
    (root / "slices.csv").write_text("\n".join(lines))
    return root


def write_inbox(root: Path, count: int, *, damaged: bool, seed: int = 1) -> Path:
    """A flat folder of pictures, with damaged files among them or without."""
    root.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    for k in range(count):
        draw(CLASSES[k % 3], rng).save(root / f"picture-{k:04}.png")
    if damaged:
        for name, data in damaged_files((root / "picture-0000.png").read_bytes()).items():
            (root / name).write_bytes(data)
    return root


def encode(picture: Image.Image, kind: str, **options: object) -> bytes:
    """Bytes of a picture in a format."""
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def png_with_flipped_byte(picture: Image.Image) -> bytes:
    """A PNG whose image data was damaged in one byte."""
    data = bytearray(encode(picture, "PNG"))
    data[data.index(b"IDAT") + 40] ^= 0xFF
    return bytes(data)


def bomb_png(side_px: int = 20_000) -> bytes:
    """A tiny PNG that claims a picture of many megapixels."""
    rows = zlib.compress(bytes(1000))
    return png_header(side_px, side_px) + rows + struct.pack(">I", zlib.crc32(b"IDAT" + rows))


def write_raw_name(folder: Path, name: bytes, data: bytes) -> None:
    """A file whose name need not be UTF-8."""
    with open(os.path.join(os.fsencode(folder), name), "wb") as file:  # noqa: PTH118, PTH123 - bytes names
        file.write(data)
