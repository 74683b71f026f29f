"""Every classification network of torchvision, by its name there; and how a library's network becomes a trunk."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from typing import NamedTuple

import torch
from torch import nn

from models.errors import SettingsError
from models.networks.pretrained import Weights, digest_of, put_tensors
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


class Norm(NamedTuple):
    """Mean and spread, by channel, of the pictures in 0..1 that a network has learned from."""

    mean: tuple[float, ...]
    spread: tuple[float, ...]


IMAGENET = Norm((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
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


def library_trunk(name: str, build: Build, norm: Norm, make: Callable[[], nn.Module]) -> nn.Module:
    """A library's network as a trunk: pictures in 0..1 are normalised on their way in.

    A hook does it, so that tensors keep the names that the library gave them, and its files fit.

    Args:
        name: for messages.
        build: what it is built for; one picture goes through it, to see that the size fits.
        norm: of three channels; one channel takes their averages.
        make: the library's network without its head.

    Raises:
        SettingsError: the network does not take pictures of this size, or gives no (N, D) embeddings.
    """
    try:
        trunk = make()
        for buffer, values in (("sortline_mean", norm.mean), ("sortline_spread", norm.spread)):
            tensor = torch.tensor(values).view(1, -1, 1, 1)
            trunk.register_buffer(buffer, tensor if build.channels == 3 else tensor.mean(1, True), persistent=False)
        trunk.register_forward_pre_hook(_normalise)
        # Not inference_mode: what a network keeps from this call, such as masks, is used in training too.
        with torch.no_grad():
            shape = trunk.eval()(torch.zeros(1, build.channels, build.size_px, build.size_px)).shape
    # Libraries refuse sizes by assertions, value, type and run-time errors.
    except Exception as error:
        reason = str(error).partition("\n")[0]
        raise SettingsError(
            f"network {name} cannot be built for pictures of {build.size_px} px ({reason})",
            "a size that it takes",
            "Set training.size_px (0: its own) or training.network.",
        ) from error
    if len(shape) != 2:
        raise SettingsError(f"network {name} gives {tuple(shape)}", "(N, D) embeddings", "Set training.network.")
    return trunk.train()


def hub_weights(name: str, licence: str, download: Callable[[], Mapping[str, torch.Tensor]]) -> Weights:
    """The weights that a library downloads for a network.

    Args:
        name: of the network, with its prefix.
        licence: as the library states it; empty where it does not.
        download: tensors by the names of the trunk; more may be among them.

    Raises:
        SettingsError: they cannot be downloaded.
    """
    try:
        with torch.random.fork_rng(devices=[]):
            tensors = download()
    # Every library and transport has its own kinds.
    except Exception as error:
        reason = str(error).partition("\n")[0]
        raise SettingsError(
            f"weights of {name} cannot be downloaded ({type(error).__name__}: {reason})",
            "a connection to the hub, or weights in its cache",
            "Connect once, or set training.weights to a safetensors file or to none.",
        ) from error
    stated = f"{licence}, by its library; " if licence else ""
    return Weights(
        load=lambda trunk: put_tensors(trunk, tensors, f"of {name}"),
        source=f"hub, {name}",
        licence=f"{stated}look at the model's page",
        digest=digest_of(tensors),
    )


def unknown_name(prefix: str, name: str, known: Iterable[str]) -> SettingsError:
    """The refusal of a name that a library does not know, with those that look like it."""
    close = ", ".join(f"{prefix}/{match}" for match in get_close_matches(name, list(known)))
    return SettingsError(
        f"network {prefix}/{name} is unknown",
        close or f"a name that {prefix}.list_models() gives",
        "Set training.network.",
    )


def _normalise(trunk: nn.Module, inputs: tuple[torch.Tensor, ...]) -> torch.Tensor:
    normalised: torch.Tensor = (inputs[0] - trunk.sortline_mean) / trunk.sortline_spread  # type: ignore[operator]
    return normalised


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
