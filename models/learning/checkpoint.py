"""A checkpoint: weights as safetensors with the model card in its header; no objects, no code."""

from __future__ import annotations

import json
from typing import NamedTuple

import numpy as np
import safetensors.numpy
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, deserialize
from torch import nn

from models.artifacts.records import ModelCard
from models.errors import ArtifactChanged
from models.learning.head import Layer
from models.networks.pretrained import NO_WEIGHTS
from models.networks.registry import Build, find_network

_CARD = "sortline.card"


class CalibrationRows(NamedTuple):
    """What a model that had not learned from tune said of it: the last that can be told without the test split.

    Attributes:
        logits: (N, K) float32, neither corrected nor calibrated.
        targets: (N, K) float32, 1 where a class applies.
    """

    logits: NDArray[np.float32]
    targets: NDArray[np.float32]


class Checkpoint(NamedTuple):
    """A trained model: its card, its head's layers, the trunk's tensors where it was trained, and calibration rows."""

    card: ModelCard
    layers: tuple[Layer, ...]
    trunk: dict[str, NDArray[np.generic]]
    calibration: CalibrationRows


def encode_checkpoint(checkpoint: Checkpoint) -> bytes:
    """Safetensors bytes of a checkpoint."""
    tensors: dict[str, NDArray[np.generic]] = {f"trunk.{name}": t for name, t in checkpoint.trunk.items()}
    for position, (weight, bias) in enumerate(checkpoint.layers):
        tensors[f"head.{position}.weight"], tensors[f"head.{position}.bias"] = weight, bias
    tensors |= {f"calibration.{name}": rows for name, rows in checkpoint.calibration._asdict().items()}
    contiguous = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
    return safetensors.numpy.save(contiguous, metadata={_CARD: checkpoint.card.model_dump_json()})


def decode_checkpoint(data: bytes) -> Checkpoint:
    """The checkpoint in safetensors bytes.

    Raises:
        ArtifactChanged: the bytes are of another format, or carry no model card.
    """
    card = _read_metadata(data).get(_CARD)
    if card is None:
        raise ArtifactChanged("a checkpoint without a model card", "one that Sortline wrote", "Train anew.")
    tensors = safetensors.numpy.load(data)
    count = sum(name.startswith("head.") for name in tensors) // 2
    layers = tuple((tensors[f"head.{k}.weight"], tensors[f"head.{k}.bias"]) for k in range(count))
    trunk = {name.removeprefix("trunk."): t for name, t in tensors.items() if name.startswith("trunk.")}
    calibration = CalibrationRows(tensors["calibration.logits"], tensors["calibration.targets"])
    return Checkpoint(ModelCard.model_validate_json(card), layers, trunk, calibration)


def rebuild_trunk(checkpoint: Checkpoint) -> nn.Module:
    """The trunk as it was after training."""
    card = checkpoint.card
    build = build_of(card)
    if not checkpoint.trunk:
        return find_network(card.network).build(build).eval()
    trunk = find_network(card.network, NO_WEIGHTS).build(build)
    trunk.load_state_dict({name: torch.from_numpy(np.array(t)) for name, t in checkpoint.trunk.items()})
    return trunk.eval()


def trunk_tensors(trunk: nn.Module) -> dict[str, NDArray[np.generic]]:
    """A trunk's tensors as a checkpoint holds them."""
    return {name: np.asarray(tensor.detach().cpu().numpy()) for name, tensor in trunk.state_dict().items()}


def build_of(card: ModelCard) -> Build:
    """What a card's network was built for."""
    return Build(0, card.preprocess.width_px, card.channels, card.preprocess.jpeg_scale)


def _read_metadata(data: bytes) -> dict[str, str]:
    """The header's metadata; safetensors reads it from files only, and its format is 8 bytes of length and JSON."""
    try:
        deserialize(data)  # type: ignore[no-untyped-call]  # checks the whole layout first
    except SafetensorError as error:
        raise ArtifactChanged(
            f"a checkpoint that is no safetensors file ({error})", "one that Sortline wrote", "Train anew."
        ) from error
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    metadata: dict[str, str] = header.get("__metadata__", {})
    return metadata
