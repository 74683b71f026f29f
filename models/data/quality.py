"""How a picture looks, in cleanvision's terms, measured on a proof of at most 64 px for many pictures at once.

Scores and thresholds are cleanvision's (0.3.7): dark, light, low information and blurry are small scores. Its
definitions are kept; what differs is that they are taken on a proof: pixels sampled from the picture for light
and entropy, an averaged reduction for edges and hash. `benchmarks/results/scan.json` says how often the two agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

PROOF_PX = 64
Floats = NDArray[np.float32]
Pixels = NDArray[np.uint8]
# Perceived luminance (HSP colour model, as cleanvision uses it) and Rec. 601 luma (as Pillow's mode L).
_PERCEIVED = (0.241, 0.691, 0.068)
_LUMA = (0.299, 0.587, 0.114)
_HASH_SIDE = 8
# Below these a picture has too little in it to be told from others like it.
_LEAST_INFORMATION, _LEAST_CONTRAST = 0.3, 0.02


class Proof(NamedTuple):
    """A picture made small.

    Attributes:
        sample: of mode RGB or, of a grey picture, L: pixels taken from it as they are.
        small: of mode L and the same size: its luminance, averaged.
    """

    sample: Image.Image
    small: Image.Image


class Quality(NamedTuple):
    """How a picture looks; all in 0..1 but for the hash.

    Attributes:
        perceptual_hash: 64 bits that change little when the picture does; None where it holds too little.
    """

    brightness: float
    contrast: float
    darkness: float
    lightness: float
    information: float
    sharpness: float
    is_grey: bool
    perceptual_hash: int | None


def proof_of(picture: Image.Image) -> Proof:
    """The proof of a picture of mode RGB or L."""
    ratio = max(*picture.size, PROOF_PX) / PROOF_PX
    width, height = max(int(picture.width // ratio), 1), max(int(picture.height // ratio), 1)
    if ratio >= 2:
        # Averaging four pixels for each of the proof's is enough; averaging all would take as long as all the rest.
        picture = picture.resize((width * 2, height * 2), Image.Resampling.NEAREST)
    sample = picture if picture.size == (width, height) else picture.resize((width, height), Image.Resampling.NEAREST)
    averaged = picture.reduce(2) if ratio >= 2 else picture
    grey = averaged if averaged.mode == "L" else averaged.convert("L")
    small = grey if grey.size == (width, height) else grey.resize((width, height), Image.Resampling.BILINEAR)
    return Proof(sample, small)


def measure_quality(proofs: Sequence[Proof]) -> list[Quality]:
    """One measurement a proof, in their order; an answer does not depend on the other proofs."""
    found: dict[int, Quality] = {}
    places: dict[tuple[object, ...], list[int]] = {}
    for place, proof in enumerate(proofs):
        places.setdefault((proof.sample.mode, proof.sample.size), []).append(place)
    for alike in places.values():
        found.update(zip(alike, _measure_alike([proofs[k] for k in alike]), strict=True))
    return [found[k] for k in range(len(proofs))]


def _measure_alike(proofs: Sequence[Proof]) -> list[Quality]:
    """Measurements of proofs of one shape; together they cost a fraction of what they cost one by one."""
    smalls = _stacked([proof.small for proof in proofs])
    # Every other column is enough for shares of pixels, in half the time.
    perceived, luma, is_grey = _light(np.ascontiguousarray(_stacked([proof.sample for proof in proofs])[:, :, ::2]))
    perceived.sort(axis=1)
    contrast = _spread(luma)
    information = np.minimum(1, np.array([proof.sample.entropy() for proof in proofs]) / 10)
    tells = (information >= _LEAST_INFORMATION) & (contrast >= _LEAST_CONTRAST)
    numbers = np.stack(
        [
            luma.mean(1),
            contrast,
            _quantile(perceived, 0.99),
            1 - _quantile(perceived, 0.05),
            information,
            sharpness(smalls),
        ],
        axis=1,
    ).astype(np.float32)
    hashes = perceptual_hashes(smalls)
    return [
        Quality(brightness, spread, dark, light, entropy, sharp, grey, bits if tell else None)
        for (brightness, spread, dark, light, entropy, sharp), grey, bits, tell in zip(
            numbers.tolist(), is_grey.tolist(), hashes.tolist(), tells.tolist(), strict=True
        )
    ]


def _stacked(pictures: Sequence[Image.Image]) -> Pixels:
    """(N, h, w[, 3]) pixels of pictures of one mode and size, converted together: one by one that is slow."""
    width, height = pictures[0].size
    sheet = Image.new(pictures[0].mode, (width, height * len(pictures)))
    for k, picture in enumerate(pictures):
        sheet.paste(picture, (0, height * k))
    return np.asarray(sheet).reshape(len(pictures), height, width, *((3,) if sheet.mode == "RGB" else ()))


def _light(samples: Pixels) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Perceived luminance and luma of every pixel, each (N, h * w) in 0..1, and (N,) whether all are grey."""
    count = len(samples)
    if samples.ndim == 3:
        grey: Floats = samples.reshape(count, -1).astype(np.float32) / np.float32(255)
        return grey.copy(), grey, np.ones(count, bool)
    planes = np.ascontiguousarray(samples.reshape(-1, 3).T)
    is_grey = ((planes[0] == planes[1]) & (planes[1] == planes[2])).reshape(count, -1).all(1)
    values: Floats = planes.astype(np.float32) / np.float32(255)
    luma = _weighted(values, _LUMA).reshape(count, -1)
    values *= values
    return np.sqrt(_weighted(values, _PERCEIVED)).reshape(count, -1), luma, is_grey


def _weighted(planes: Floats, weights: tuple[float, float, float]) -> Floats:
    """Weighted sum of three planes; not a matrix product, which rounds by how many pixels there are."""
    red, green, blue = planes * np.array(weights, dtype=np.float32)[:, None]
    return np.asarray(red + green + blue)


def _quantile(ordered: Floats, share: float) -> Floats:
    """(N,) quantile of each sorted row, interpolated as numpy's percentile does."""
    place = share * (ordered.shape[1] - 1)
    below = int(place)
    above = min(below + 1, ordered.shape[1] - 1)
    return np.asarray(ordered[:, below] + (ordered[:, above] - ordered[:, below]) * (place - below))


def sharpness(smalls: Pixels) -> Floats:
    """(N,) cleanvision's blurry score, at most 1: spread of edges, and of the histogram where that is uneven."""
    count, height, width = smalls.shape
    edges = smalls.astype(np.int16)
    if min(height, width) >= 3:
        rows = edges[:, :-2] + edges[:, 1:-1] + edges[:, 2:]
        around = rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:]
        # Pillow's FIND_EDGES, which leaves the border as it is.
        edges[:, 1:-1, 1:-1] = np.clip(9 * edges[:, 1:-1, 1:-1] - around, 0, 255)
    levels = smalls.reshape(count, -1) + np.arange(count)[:, None] * 256
    histograms = np.bincount(levels.ravel(), minlength=count * 256).reshape(count, 256)
    spread = 1 - np.exp(-0.01 * histograms.std(1))
    score = 1 - np.exp(-0.01 * _spread(edges.reshape(count, -1).astype(np.float32)))
    return np.asarray(np.minimum(score + np.where(spread > 0.18, spread, 0), 1), dtype=np.float32)


def _spread(values: Floats) -> Floats:
    """(N,) standard deviation of each row, in a third of the time that `std` takes."""
    centred = values - values.mean(1, keepdims=True)
    return np.asarray(np.sqrt(np.einsum("ij,ij->i", centred, centred) / values.shape[1]))


def perceptual_hashes(smalls: Pixels) -> NDArray[np.uint64]:
    """(N,) pHash (Zauner 2010): signs of the 8 x 8 lowest frequencies of the cosine transform, around their median."""
    down, across = (_cosines(side) for side in smalls.shape[1:])
    low = (down @ smalls.astype(np.float32) @ across.T).reshape(len(smalls), -1)
    bits = np.packbits(low > np.median(low, axis=1, keepdims=True), axis=1)
    return bits.view(">u8").ravel().astype(np.uint64)


def _cosines(side: int) -> Floats:
    """(8, side) basis of the lowest frequencies; scaled, so that a picture's size does not matter."""
    angles = np.pi * np.outer(np.arange(_HASH_SIDE), 2 * np.arange(side) + 1) / (2 * side)
    return np.asarray(np.cos(angles) / side, dtype=np.float32)
