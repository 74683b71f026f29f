"""Every classification network of torchvision, by its name there."""

from __future__ import annotations

import re
from collections.abc import Callable

import torch
from torch import nn

from models.networks.library import Norm, hub_weights, library_trunk, unknown_name
from models.networks.registry import Build, Network, register_family

_PREFIX = "torchvision"
_SIZE_PX = 224
# Builders that fix the size, by the start of the name, and what they call it.
_FIXED_SIZES: dict[str, Callable[[int], dict[str, object]]] = {
    "vit_": lambda size_px: {"image_size": size_px},
    "maxvit_": lambda size_px: {"input_size": (size_px, size_px)},
}
# Auxiliary heads only help to train; with init_weights unset the builders warn.
_INCEPTIONS = ("googlenet", "inception_v3")
_INCEPTION_ARGUMENTS: dict[str, object] = {"aux_logits": False, "init_weights": True}
# DenseNet's files are older than its names.
_OLD_DENSE_NAME = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)")
_HALF = Norm((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


@register_family(_PREFIX)
def torchvision_network(name: str, weights: str) -> Network:
    """The network of torchvision called `name`; with `hub`, those weights that torchvision takes by default.

    Raises:
        SettingsError: there is no such network, or its weights cannot be downloaded.
    """
    from torchvision import models  # noqa: PLC0415 - takes seconds

    known = models.list_models(module=models)
    if name not in known:
        raise unknown_name(_PREFIX, name, known)
    preset = models.get_model_weights(name).DEFAULT.transforms
    size_px = getattr(preset, "keywords", {}).get("crop_size", _SIZE_PX)
    # What these two call transform_input is another norm; done here, it is there with any weights.
    norm = _HALF if name in _INCEPTIONS else Norm(tuple(preset().mean), tuple(preset().std))

    def build_random(build: Build) -> nn.Module:
        return library_trunk(f"{_PREFIX}/{name}", build, norm, lambda: _headless(name, build))

    network = Network(f"{_PREFIX}/{name}", build_random, size_px)
    if not weights:
        return network
    return network._replace(weights=hub_weights(network.name, "", lambda: _downloaded(name, size_px)))


def _whole(name: str, size_px: int) -> nn.Module:
    from torchvision.models import get_model  # noqa: PLC0415 - takes seconds

    arguments = dict(_INCEPTION_ARGUMENTS) if name in _INCEPTIONS else {}
    for start, argument in _FIXED_SIZES.items():
        if name.startswith(start):
            arguments |= argument(size_px)
    network: nn.Module = get_model(name, **arguments)
    return network


def _headless(name: str, build: Build) -> nn.Module:
    """The network without its last layer, which is a convolution in SqueezeNet."""
    network = _whole(name, build.size_px)
    layers = [(path, layer) for path, layer in network.named_modules() if isinstance(layer, (nn.Linear, nn.Conv2d))]
    network.set_submodule(layers[-1][0], nn.Identity())
    if build.channels == 1:
        first = layers[0][1]
        # The sum answers to luminance as the three filters do to three equal channels.
        first.in_channels, first.weight = 1, nn.Parameter(first.weight.detach().sum(1, keepdim=True))
    return network


def _downloaded(name: str, size_px: int) -> dict[str, torch.Tensor]:
    """Tensors by their present names: loading them brings old names up to date."""
    from torchvision.models import get_model_weights  # noqa: PLC0415 - takes seconds

    default = get_model_weights(name).DEFAULT
    # The library's own call would let the file bring objects along; this one takes tensors only.
    tensors = default.get_state_dict(progress=False, check_hash=True, map_location="cpu", weights_only=True)
    for old in list(tensors):
        tensors[_OLD_DENSE_NAME.sub(r"\1\2", old)] = tensors.pop(old)
    network = _whole(name, size_px)
    missing = network.load_state_dict(tensors, strict=False).missing_keys
    if missing:
        raise ValueError(f"its file lacks {missing[0]} and {len(missing) - 1} more")
    return network.state_dict()
