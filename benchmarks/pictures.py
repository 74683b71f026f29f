"""Folders of pictures that benchmarks make: crops of scikit-learn's two photographs, and ELPV's solar cells."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter
from sklearn.datasets import load_sample_images

from models.data.elpv import write_elpv_folders


def write_crops(folder: Path, count: int, side_px: int, kind: str) -> Path:
    """`count` square crops of photographs, JPEG of quality 90 or PNG."""
    folder.mkdir(parents=True)
    photographs = [Image.fromarray(pixels) for pixels in load_sample_images().images]
    factor = max(1.0, side_px / 256 * 0.8)
    large = [p.resize((int(p.width * factor), int(p.height * factor)), Image.Resampling.LANCZOS) for p in photographs]
    rng = np.random.default_rng(0)
    for k in range(count):
        (folder / f"{k:06}.{kind.lower()}").write_bytes(_encoded(_crop(large[k % 2], side_px, rng), kind))
    return folder


def write_cells(folder: Path, times: int) -> Path:
    """All labelled ELPV cells, `times` over, as links to one file each."""
    cells = write_elpv_folders(folder / "source").labelled
    for source in sorted(cells.rglob("*.png")):
        for k in range(times):
            target = folder / "cells" / str(k) / source.parent.name / source.name
            target.parent.mkdir(parents=True, exist_ok=True)
            os.link(source, target)
    return folder / "cells"


def write_ladder(folder: Path, count: int) -> Path:
    """Crops that are made dark, light, blurred or poor in steps from not at all to entirely."""
    folder.mkdir(parents=True)
    photographs = [Image.fromarray(pixels) for pixels in load_sample_images().images]
    rng = np.random.default_rng(1)
    for k in range(count):
        picture = _crop(photographs[k % 2], 256, rng)
        strength = rng.uniform(0, 1)
        match k % 5:
            case 0:
                picture = picture.point(lambda v, s=strength: v * (1 - s))
            case 1:
                picture = picture.point(lambda v, s=strength: v + (255 - v) * s)
            case 2:
                picture = picture.filter(ImageFilter.GaussianBlur(strength * 16))
            case 3:
                step = 1 + int(strength * 200)
                picture = picture.point(lambda v, q=step: v // q * q)
            case _:
                picture = picture.convert("L")
        kind = ("JPEG", "PNG")[k // 5 % 2]
        (folder / f"{k:05}.{kind.lower()}").write_bytes(_encoded(picture, kind))
    return folder


def _crop(picture: Image.Image, side_px: int, rng: np.random.Generator) -> Image.Image:
    x, y = rng.integers(0, picture.width - side_px + 1), rng.integers(0, picture.height - side_px + 1)
    return picture.crop((int(x), int(y), int(x) + side_px, int(y) + side_px))


def _encoded(picture: Image.Image, kind: str) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **({"quality": 90} if kind == "JPEG" else {}))
    return buffer.getvalue()
