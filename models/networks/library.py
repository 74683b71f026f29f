"""How a network of a library becomes one of Sortline's: its trunk, its weights, its names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from typing import NamedTuple

import torch
from torch import nn

from models.errors import SettingsError
from models.networks.pretrained import Weights, digest_of, put_tensors
from models.networks.registry import Build


class Norm(NamedTuple):
    """Mean and spread, by channel, of the pictures in 0..1 that a network has learned from."""

    mean: tuple[float, ...]
    spread: tuple[float, ...]


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
