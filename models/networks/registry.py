"""Networks by name: one file and one decorator each; every one goes the same way through training and export.

A network's code is a trunk, from pictures to embeddings; the head that knows the classes is Sortline's own.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

import models.networks
from models.data.preprocess import JpegScale, Preprocess
from models.errors import SettingsError
from models.networks.pretrained import NO_WEIGHTS, Weights, file_weights

PLUGINS = "sortline.networks"
_FAMILY = "/"
# Rec. 601 luma, as Pillow's mode L.
_LUMA = (0.299, 0.587, 0.114)


class Build(NamedTuple):
    """What a trunk is built for.

    Attributes:
        seed: where its random weights come from.
        size_px: side of its square input.
        channels: 1 or 3.
        jpeg_scale: at what size JPEGs are decoded for it.
    """

    seed: int
    size_px: int
    channels: int = 3
    jpeg_scale: JpegScale = "full"

    @property
    def preprocess(self) -> Preprocess:
        """What a picture goes through to become its input."""
        return Preprocess(width_px=self.size_px, height_px=self.size_px, jpeg_scale=self.jpeg_scale)


TrunkBuilder = Callable[[Build], nn.Module]


class Network(NamedTuple):
    """A network and what has to be known to use it.

    Attributes:
        build_random: gives the trunk with random weights: a module from (N, channels, H, W) float32 in 0..1 to
            (N, D) embeddings.
        size_px: side of the square that it is made for.
        weights: pretrained weights; None where there are none.
    """

    name: str
    build_random: TrunkBuilder
    size_px: int
    weights: Weights | None = None

    def build(self, build: Build) -> nn.Module:
        """The trunk with the weights that training starts from; the global generator is left as it was.

        Raises:
            SettingsError: pretrained weights for another number of channels.
        """
        if self.weights is not None and self.weights.sees_colour and build.channels != 3:
            raise SettingsError(
                f"pretrained weights of {self.name} see 3 channels, and training.channels is {build.channels}",
                "3 channels; grey pictures are read as three equal ones",
                "Leave training.channels out, or set training.weights=none.",
            )
        with torch.random.fork_rng():
            torch.manual_seed(build.seed)
            trunk = self.build_random(build)
        if self.weights is not None:
            self.weights.load(trunk)
        return trunk


# A family gives the network of a name behind its prefix, such as resnet18 in torchvision/resnet18.
Family = Callable[[str, str], Network]

_NETWORKS: dict[str, Network] = {}
_FAMILIES: dict[str, Family] = {}


def register_network(name: str, size_px: int, weights: Weights | None = None) -> Callable[[TrunkBuilder], TrunkBuilder]:
    """Decorator that adds what it decorates as a network.

    Raises:
        SettingsError: the name is taken.
    """

    def register(build: TrunkBuilder) -> TrunkBuilder:
        if name in _NETWORKS or _FAMILY in name:
            raise SettingsError(
                f"network {name} is registered twice or holds {_FAMILY}", "one name a network", "Rename one."
            )
        _NETWORKS[name] = Network(name, build, size_px, weights)
        return build

    return register


def register_family(prefix: str) -> Callable[[Family], Family]:
    """Decorator that adds what it decorates as the giver of all networks called `prefix/...`.

    The function takes the name behind the prefix and `hub` or an empty text, which asks for no weights.
    """

    def register(family: Family) -> Family:
        _FAMILIES[prefix] = family
        return family

    return register


def find_network(name: str, weights: str = "") -> Network:
    """The network of that name.

    Args:
        name: of one network, or of one of a family, such as torchvision/resnet18.
        weights: empty for those that it comes with; `none` for random ones; `hub` for those that its library
            downloads; or the path of a safetensors file.

    Raises:
        SettingsError: there is no such network, or no such weights of it.
    """
    _load_modules()
    prefix, _, inner = name.partition(_FAMILY)
    if inner and prefix in _FAMILIES:
        network = _FAMILIES[prefix](inner, weights if weights == "hub" else "")
    elif name in _NETWORKS:
        network = _NETWORKS[name]
    else:
        raise SettingsError(
            f"network {name} is unknown", f"one of {', '.join(known_networks())}", "Set training.network."
        )
    if weights == "hub" and not inner:
        raise SettingsError(f"network {name} has no weights in a hub", "none, or a file", "Set training.weights.")
    if weights in ("", "hub"):
        return network
    return network._replace(weights=None if weights == NO_WEIGHTS else file_weights(Path(weights)))


def known_networks() -> list[str]:
    """Names of all networks; a family as its prefix with NAME behind it."""
    _load_modules()
    return [*sorted(_NETWORKS), *(f"{prefix}{_FAMILY}NAME" for prefix in sorted(_FAMILIES))]


def _load_modules() -> None:
    """Imports every module beside this one, and what other packages offer, so that they register themselves."""
    for module in pkgutil.iter_modules(models.networks.__path__):
        import_module(f"models.networks.{module.name}")
    for plugin in entry_points(group=PLUGINS):
        plugin.load()


class UprightTrunk(nn.Module):
    """A trunk behind the input that a scoring machine has: (N, H, W, 3) uint8."""

    def __init__(self, trunk: nn.Module, channels: int = 3) -> None:
        super().__init__()
        self.trunk = trunk
        self.channels = channels

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """(N, D) embeddings."""
        embedding: torch.Tensor = self.trunk(as_input(image, self.channels))
        return embedding


def as_input(image: torch.Tensor, channels: int) -> torch.Tensor:
    """(N, channels, H, W) float32 in 0..1 of (N, H, W, 3) uint8; one channel is luminance."""
    scaled = image.permute(0, 3, 1, 2).float() / 255
    if channels == 3:
        return scaled
    red, green, blue = _LUMA
    return red * scaled[:, :1] + green * scaled[:, 1:2] + blue * scaled[:, 2:]
