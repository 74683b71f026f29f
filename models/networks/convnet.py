"""A small CNN that trains from scratch on a machine with two cores."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn

from models.networks.registry import Network, register_network

_WIDTHS = (32, 64, 128, 192)


class ConvNet(nn.Module):
    """Four stages of two 3x3 convolutions; full convolutions, since depthwise ones are slow on a CPU."""

    def __init__(self) -> None:
        super().__init__()
        widths = (3, *_WIDTHS)
        self.stages = nn.Sequential(*(_stage(*pair) for pair in pairwise(widths)))

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        """(N, 192) embeddings of (N, 3, H, W) in 0..1."""
        maps = self.stages((picture - 0.5) / 0.25)
        pooled: torch.Tensor = maps.mean((2, 3))
        return pooled


def build_convnet(seed: int) -> nn.Module:
    """A ConvNet with weights drawn from `seed`; the global generator is left as it was."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return ConvNet()


def _stage(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
        nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


register_network(
    Network(
        name="convnet",
        build=build_convnet,
        learner="scratch",
        size_px=96,
        weights_source="trained from scratch",
        weights_licence="the owner's",
    )
)
