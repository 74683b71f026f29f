"""Every network of timm, by its name there."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from models.networks.library import Norm, hub_weights, library_trunk, unknown_name
from models.networks.registry import Build, Network, register_family

_PREFIX = "timm"


@register_family(_PREFIX)
def timm_network(name: str, weights: str) -> Network:
    """The network of timm called `name`, such as resnet18 or resnet18.a1_in1k; with `hub`, its downloaded weights.

    Raises:
        SettingsError: there is no such network, or its weights cannot be downloaded.
    """
    config = _config(name)
    own_px = int(config.input_size[-1])
    norm = Norm(tuple(config.mean), tuple(config.std))

    def make(build: Build) -> nn.Module:
        sized = {"img_size": build.size_px} if config.fixed_input_size and build.size_px != own_px else {}
        return _create(name, in_chans=build.channels, **sized)

    def build_random(build: Build) -> nn.Module:
        return library_trunk(f"{_PREFIX}/{name}", build, norm, lambda: make(build))

    network = Network(f"{_PREFIX}/{name}", build_random, own_px)
    if not weights:
        return network
    return network._replace(weights=hub_weights(network.name, config.license or "", lambda: _downloaded(name)))


def _config(name: str) -> Any:
    """What timm knows of a network's weights: size, norm, licence."""
    from timm.models import PretrainedCfg, get_pretrained_cfg, is_model, list_models  # noqa: PLC0415 - takes seconds

    try:
        if is_model(name):
            return get_pretrained_cfg(name) or PretrainedCfg()
    except RuntimeError:  # the network is known, but not the weights behind the dot
        pass
    raise unknown_name(_PREFIX, name, [*list_models(), *list_models(pretrained=True, include_tags=True)])


def _create(name: str, **arguments: Any) -> nn.Module:
    from timm import create_model  # noqa: PLC0415 - takes seconds

    network: nn.Module = create_model(name, num_classes=0, **arguments)
    return network


def _downloaded(name: str) -> dict[str, torch.Tensor]:
    return _create(name, pretrained=True).state_dict()
