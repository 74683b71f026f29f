"""Any network with embeddings of length 1, each brought there on its own: what private training needs.

Square roots take the few large numbers down; without its own mean a row is not mostly the direction that all share.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from models.networks.pretrained import Weights
from models.networks.registry import Build, Network, find_network, register_family

PREFIX = "unit"


class UnitRows(nn.Module):
    """A trunk with its embeddings brought to length 1."""

    def __init__(self, trunk: nn.Module) -> None:
        super().__init__()
        self.trunk = trunk

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        """(N, D) embeddings of (N, channels, H, W) in 0..1."""
        embedding = self.trunk(picture)
        softened = torch.sign(embedding) * torch.sqrt(torch.abs(embedding))
        centred = softened - softened.mean(1, keepdim=True)
        unit: torch.Tensor = functional.normalize(centred, dim=1)
        return unit


@register_family(PREFIX)
def unit_network(inner: str, weights: str) -> Network:
    """The network of a name in `unit/NAME`."""
    network = find_network(inner, weights)

    def build(build: Build) -> nn.Module:
        return UnitRows(network.build_random(build))

    own = network.weights
    if own is not None:
        own = own._replace(load=lambda trunk: _load(own, trunk))
    return network._replace(name=f"{PREFIX}/{inner}", build_random=build, weights=own)


def _load(weights: Weights | None, trunk: nn.Module) -> None:
    if weights is not None and isinstance(trunk, UnitRows):
        weights.load(trunk.trunk)
