"""A dictionary of patches by k-means, for the network `patches`."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.cluster.vq import kmeans2

from models.networks.patches import CENTROIDS, CONTRAST_FLOOR, PATCH_PX, Patches
from models.networks.registry import as_input

_SAMPLED, _ROUNDS = 30_000, 20
# Added to the variances before whitening, of patches of unit contrast.
_WHITENING_FLOOR = 0.1


def learn_dictionary(pixels: NDArray[np.uint8], channels: int, seed: int) -> Patches:
    """The network with a dictionary of the pictures' own patches.

    Args:
        pixels: (N, H, W, 3) uint8.
        channels: 1 or 3.
        seed: of the drawn patches and of k-means.
    """
    rng = np.random.default_rng(seed)
    rows = _drawn(pixels, channels, rng)
    rows -= rows.mean(1, keepdims=True)
    rows /= np.sqrt(rows.var(1, keepdims=True) + CONTRAST_FLOOR)
    mean = rows.mean(0)
    variances, directions = np.linalg.eigh(np.cov(rows - mean, rowvar=False))
    whiten = directions / np.sqrt(np.maximum(variances, 0) + _WHITENING_FLOOR) @ directions.T
    white = (rows - mean) @ whiten
    found, _ = kmeans2(white, CENTROIDS, iter=_ROUNDS, minit="++", rng=rng)
    network = Patches(channels)
    with torch.no_grad():
        network.whiten.copy_(torch.from_numpy(whiten.T.reshape(-1, channels, PATCH_PX, PATCH_PX)))
        network.whiten_bias.copy_(torch.from_numpy(-mean @ whiten))
        network.centroids.copy_(torch.from_numpy(found))
    return network.eval()


def _drawn(pixels: NDArray[np.uint8], channels: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """(30,000, channels * 64) patches from places by chance, in 0..1."""
    picture = rng.integers(len(pixels), size=_SAMPLED)
    top = rng.integers(pixels.shape[1] - PATCH_PX + 1, size=_SAMPLED)
    left = rng.integers(pixels.shape[2] - PATCH_PX + 1, size=_SAMPLED)
    down, across = np.mgrid[:PATCH_PX, :PATCH_PX]
    cut = pixels[picture[:, None, None], top[:, None, None] + down, left[:, None, None] + across]
    return as_input(torch.from_numpy(cut), channels).numpy().reshape(_SAMPLED, -1).astype(np.float64)
