"""Networks by name: one file and one decorator each; every one goes the same way through training and export."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Literal, NamedTuple

import torch
from torch import nn

from models.errors import SettingsError

_BUILTIN_MODULES = ("models.networks.convnet", "models.networks.lite0")


class Network(NamedTuple):
    """A network and what has to be known to use it.

    Attributes:
        build: gives the trunk, a module from (N, 3, H, W) float32 in 0..1 to (N, D) embeddings, from a seed.
        learner: `frozen` trunks are never trained, `scratch` trunks start from random weights.
        size_px: side of the square that it is made for.
        weights_digest: digest of pretrained weights; empty where there are none.
    """

    name: str
    build: Callable[[int], nn.Module]
    learner: Literal["frozen", "scratch"]
    size_px: int
    weights_source: str
    weights_licence: str
    weights_digest: str = ""


_NETWORKS: dict[str, Network] = {}


def register_network(network: Network) -> Network:
    """Adds a network under its name.

    Raises:
        SettingsError: the name is taken.
    """
    if network.name in _NETWORKS:
        raise SettingsError(f"network {network.name} is registered twice", "one name a network", "Rename one.")
    _NETWORKS[network.name] = network
    return network


def find_network(name: str) -> Network:
    """The network of that name.

    Raises:
        SettingsError: there is none.
    """
    for module in _BUILTIN_MODULES:
        import_module(module)
    if name not in _NETWORKS:
        known = ", ".join(sorted(_NETWORKS))
        raise SettingsError(f"network {name} is unknown", f"one of {known}", "Set training.network to one.")
    return _NETWORKS[name]


class UprightTrunk(nn.Module):
    """A trunk behind the input that a scoring machine has: (N, H, W, 3) uint8."""

    def __init__(self, trunk: nn.Module) -> None:
        super().__init__()
        self.trunk = trunk

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """(N, D) embeddings."""
        embedding: torch.Tensor = self.trunk(image.permute(0, 3, 1, 2).float() / 255)
        return embedding
