"""A dictionary of small patches: one layer that k-means learns without labels (Coates, Ng and Lee, AISTATS 2011)."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from models.networks.registry import Build, register_network

PATCH_PX, CENTROIDS = 8, 256
# Added to the variance of a patch, of pictures in 0..1: even ones are not blown up.
CONTRAST_FLOOR = 10 / 255**2
_POOLS = 2


class Patches(nn.Module):
    """How near every patch is to every entry of the dictionary, summed over quarters of the picture.

    Attributes:
        whiten: (P, C, k, k) filters by which patches of equal contrast are whitened.
        whiten_bias: (P,)
        centroids: (K, P) entries of the dictionary, of whitened patches.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        width = channels * PATCH_PX**2
        self.whiten = nn.Parameter(torch.randn(width, channels, PATCH_PX, PATCH_PX) * width**-0.5, requires_grad=False)
        self.whiten_bias = nn.Parameter(torch.zeros(width), requires_grad=False)
        self.centroids = nn.Parameter(torch.randn(CENTROIDS, width), requires_grad=False)

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        """(N, 4 K) embeddings of (N, channels, H, W) in 0..1."""
        side = self.whiten.shape[-1]
        mean = functional.avg_pool2d(picture.mean(1, keepdim=True), side, stride=1)
        square = functional.avg_pool2d((picture**2).mean(1, keepdim=True), side, stride=1)
        contrast = (square - mean**2 + CONTRAST_FLOOR).sqrt()
        # Filters see the patch without its mean: their own sum takes it away.
        flat = self.whiten.sum((1, 2, 3)).view(1, -1, 1, 1)
        white = (functional.conv2d(picture, self.whiten) - mean * flat) / contrast + self.whiten_bias.view(1, -1, 1, 1)
        products = functional.conv2d(white, self.centroids[:, :, None, None])
        squares = (self.centroids**2).sum(1).view(1, -1, 1, 1) + (white**2).sum(1, keepdim=True)
        distance = (squares - 2 * products).clamp_min(1e-8).sqrt()
        near = (distance.mean(1, keepdim=True) - distance).clamp_min(0)
        return functional.adaptive_avg_pool2d(near, _POOLS).flatten(1)


@register_network("patches", size_px=32)
def build_patches(build: Build) -> nn.Module:
    """Patches with a random dictionary; `sortline pretrain` learns one."""
    return Patches(build.channels)
