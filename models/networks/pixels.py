"""No network at all: the pixels of a tiny picture, as they are, for a head to learn from."""

from __future__ import annotations

import torch
from torch import nn

from models.networks.pretrained import Weights
from models.networks.registry import Build, register_network


class Pixels(nn.Module):
    """All pixels side by side."""

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        """(N, channels * H * W) embeddings of (N, channels, H, W) in 0..1."""
        return picture.flatten(1)


@register_network(
    "pixels",
    size_px=16,
    weights=Weights(load=lambda _: None, source="none: pixels as they are", licence="", digest="pixels"),
)
def build_pixels(_: Build) -> nn.Module:
    """A Pixels."""
    return Pixels()
