"""A network with its head, from what it is given to logits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from models.learning.head import Layer


@runtime_checkable
class StagedTrunk(Protocol):
    """A trunk whose lower stages can be computed once and kept.

    Attributes:
        most_frozen_stages: lower stages that `maps_after` can stop behind.
    """

    most_frozen_stages: int

    def maps_after(self, picture: torch.Tensor, stages: int) -> torch.Tensor:
        """(N, C, h, w) maps behind so many stages of (N, channels, H, W) pictures in 0..1."""
        ...

    def embed_from(self, maps: torch.Tensor, stages: int) -> torch.Tensor:
        """(N, D) embeddings from those maps."""
        ...


class LowerStages(nn.Module):
    """The frozen stages of a trunk, from pictures to maps."""

    def __init__(self, trunk: nn.Module, stages: int) -> None:
        super().__init__()
        self.trunk = trunk
        self.stages = stages

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        """(N, C, h, w) maps of (N, channels, H, W) pictures in 0..1."""
        maps: torch.Tensor = self.trunk.maps_after(picture, self.stages)  # type: ignore[operator]
        return maps


class UpperStages(nn.Module):
    """What is above the frozen stages of a trunk, from kept maps to embeddings."""

    def __init__(self, trunk: nn.Module, stages: int) -> None:
        super().__init__()
        self.trunk = trunk
        self.stages = stages

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """(N, D) embeddings of (N, C, h, w) maps."""
        embedding: torch.Tensor = self.trunk.embed_from(maps.float(), self.stages)  # type: ignore[operator]
        return embedding


class Head(nn.Module):
    """Linear layers with a ReLU between, and dropout before each.

    Embeddings are standardised on the way in where training starts from a fitted head, so that one rate suits all.
    """

    def __init__(self, layers: tuple[Layer, ...], dropouts: tuple[float, ...], norm: nn.BatchNorm1d | None) -> None:
        super().__init__()
        self.norm = norm
        self.dropouts = nn.ModuleList([nn.Dropout(share) for share in dropouts])
        self.linears = nn.ModuleList([_linear(weight, bias) for weight, bias in layers])

    def forward(self, embedding: torch.Tensor) -> torch.Tensor:
        """(N, K) logits."""
        hidden = embedding if self.norm is None else self.norm(embedding)
        for position, (dropout, linear) in enumerate(zip(self.dropouts, self.linears, strict=True)):
            hidden = linear(dropout(torch.relu(hidden) if position else hidden))
        return hidden

    def as_layers(self) -> tuple[Layer, ...]:
        """(weight, bias) of every layer, for embeddings as they come."""
        found = [
            (_array(linear.get_parameter("weight")), _array(linear.get_parameter("bias"))) for linear in self.linears
        ]
        if self.norm is not None and self.norm.running_mean is not None and self.norm.running_var is not None:
            spread = np.sqrt(_array(self.norm.running_var) + self.norm.eps)
            weight = found[0][0] / spread
            found[0] = (weight, found[0][1] - weight @ _array(self.norm.running_mean))
        return tuple((weight.astype(np.float32), bias.astype(np.float32)) for weight, bias in found)


class Classifier(nn.Module):
    """A body, which gives embeddings, and a head.

    With `keeps_statistics`, batch norms go on by the means and spreads that they have: pretrained ones fit their
    weights, and those of a small batch of other pictures undo the head that training starts from.
    """

    def __init__(self, body: nn.Module, head: Head, *, keeps_statistics: bool = False) -> None:
        super().__init__()
        self.body = body
        self.head = head
        self._keeps_statistics = keeps_statistics

    def train(self, mode: bool = True) -> Classifier:
        """Training or evaluation mode."""
        super().train(mode)
        if self._keeps_statistics:
            for module in self.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        return self

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """(N, K) logits."""
        logits: torch.Tensor = self.head(self.body(inputs))
        return logits


def random_head(inputs: int, classes: int, dropout: float, seed: int) -> Head:
    """One linear layer with weights drawn from `seed`."""
    random = torch.Generator().manual_seed(seed)
    weight = torch.randn(classes, inputs, generator=random) * inputs**-0.5
    return Head(((weight.numpy(), np.zeros(classes, dtype=np.float32)),), (dropout,), None)


def fitted_head(layers: tuple[Layer, ...], embeddings: NDArray[np.float32], dropouts: tuple[float, ...]) -> Head:
    """A head that answers as `layers` do, which were fitted on (N, D) embeddings."""
    mean, variance = embeddings.mean(0), embeddings.var(0)
    norm = nn.BatchNorm1d(embeddings.shape[1], affine=False)
    norm.running_mean, norm.running_var = torch.from_numpy(mean), torch.from_numpy(variance)
    (weight, bias), *rest = layers
    first = (weight * np.sqrt(variance + norm.eps), bias + weight @ mean)
    return Head((first, *rest), dropouts, norm)


def linear_layers(layers: Sequence[Layer]) -> nn.Sequential:
    """Layers with ReLU between them, as they are served: from (N, D) embeddings to (N, K) logits."""
    head = nn.Sequential()
    for position, (weight, bias) in enumerate(layers):
        if position:
            head.append(nn.ReLU())
        head.append(_linear(weight, bias))
    return head


def _linear(weight: NDArray[np.float32], bias: NDArray[np.float32]) -> nn.Linear:
    linear = nn.Linear(weight.shape[1], weight.shape[0])
    with torch.no_grad():
        linear.weight.copy_(torch.from_numpy(np.ascontiguousarray(weight)))
        linear.bias.copy_(torch.from_numpy(np.ascontiguousarray(bias)))
    return linear


def _array(tensor: torch.Tensor) -> NDArray[np.float64]:
    return np.asarray(tensor.detach().double().cpu().numpy())
