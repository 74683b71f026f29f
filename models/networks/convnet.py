"""A small CNN that trains from scratch on a machine with two cores."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn

from models.networks.registry import Build, register_network

_WIDTHS = (32, 64, 128, 192)
_LEAST_MAP_PX = 4


class ConvNet(nn.Module):
    """Stages of two 3x3 convolutions; full convolutions, since depthwise ones are slow on a CPU.

    The first stages halve the map, as many as leave 4 to 7 px, so that small pictures are not squeezed into one
    place: at 32 px the last one keeps the size, 128 px have a fifth. Halving late instead costs 2.3 times as much at
    32 px and was not seen to be better (docs/networks.md).
    """

    def __init__(self, build: Build) -> None:
        super().__init__()
        halvings = max((build.size_px // _LEAST_MAP_PX).bit_length() - 1, 0)
        widths = (build.channels, *_WIDTHS, *_WIDTHS[-1:] * (halvings - len(_WIDTHS)))
        self.stages = nn.Sequential(
            *(
                _Stage(inputs, outputs, stride=2 if position < halvings else 1)
                for position, (inputs, outputs) in enumerate(pairwise(widths))
            )
        )

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        """(N, 192) embeddings of (N, channels, H, W) in 0..1."""
        maps = self.stages((picture - 0.5) / 0.25)
        pooled: torch.Tensor = maps.mean((2, 3))
        return pooled


@register_network("convnet", size_px=64)
def build_convnet(build: Build) -> nn.Module:
    """A ConvNet with random weights."""
    return ConvNet(build)


class _Stage(nn.Module):
    """A convolution to another width, and one that adds to what the first found (arXiv 1512.03385)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.enter = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        )
        self.refine = nn.Sequential(nn.Conv2d(outputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """(N, outputs, h, w) maps of (N, inputs, H, W)."""
        entered = self.enter(maps)
        refined: torch.Tensor = self.refine(entered)
        # In place: no gradient needs what a norm gave, and a sum of its own costs 3 % of a step.
        return refined.add_(entered).relu_()
