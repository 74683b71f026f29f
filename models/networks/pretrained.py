"""Pretrained weights: from a package, a local safetensors file or a library's hub; their digest is always known."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import load
from torch import nn

from models.errors import SettingsError

NO_WEIGHTS = "none"
_SHOWN = 3
# Counted by norms that no training of ours reads; files older than the counter lack it.
_COUNTER = ".num_batches_tracked"


class Weights(NamedTuple):
    """Weights that can be put into a trunk.

    Attributes:
        load: puts them into a trunk that was built with random ones.
        source: where they come from, for the model card.
        digest: hex sha256 of the file that they are in, or of the tensors where there is no file.
        sees_colour: whether they are for 3 channels and no other number; of files the tensors tell.
    """

    load: Callable[[nn.Module], None]
    source: str
    licence: str
    digest: str
    sees_colour: bool = True


def file_weights(path: Path) -> Weights:
    """Weights in a safetensors file, named as the trunk's or as the whole network's.

    Raises:
        SettingsError: the file does not read.
    """
    try:
        data = path.read_bytes()
        tensors = load(data)
    # safetensors' own exception shares no base class with OSError.
    except Exception as error:
        raise SettingsError(
            f"weights {path} cannot be read ({error})", "a safetensors file, `none` or `hub`", "Set training.weights."
        ) from error
    digest = hashlib.sha256(data).hexdigest()
    return Weights(
        lambda trunk: put_tensors(trunk, tensors, str(path)),
        f"file {path.name}",
        "the owner's",
        digest,
        sees_colour=False,
    )


def put_tensors(trunk: nn.Module, tensors: Mapping[str, torch.Tensor], source: str) -> None:
    """Copies tensors into a trunk by name; what the trunk has no place for, such as a head, is left out.

    Raises:
        SettingsError: a tensor of the trunk is missing or has another shape.
    """
    wanted = {n: value for n, value in trunk.state_dict().items() if n in tensors or not n.endswith(_COUNTER)}
    findings = [
        f"{name} is {'missing' if name not in tensors else f'{tuple(tensors[name].shape)}, not {tuple(value.shape)}'}"
        for name, value in wanted.items()
        if name not in tensors or tensors[name].shape != value.shape
    ]
    if findings:
        raise SettingsError(
            f"weights {source} do not fit: {len(findings)} of {len(wanted)} tensors, {'; '.join(findings[:_SHOWN])}",
            "the weights of this very network",
            "Set training.weights, training.network or training.size_px.",
        )
    trunk.load_state_dict({name: tensors[name] for name in wanted}, strict=False)


def digest_of(tensors: Mapping[str, torch.Tensor]) -> str:
    """Hex sha256 of tensors with their names, in the order of the names."""
    found = hashlib.sha256()
    for name in sorted(tensors):
        found.update(name.encode())
        found.update(tensors[name].detach().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()
