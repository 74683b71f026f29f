"""A head on frozen features: an average of small networks, trained side by side as one batched computation.

The average of E networks with one hidden layer is one network whose hidden layer is E times as wide, so the whole
ensemble is served as two matrix products.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from models.learning.losses import LossSettings, row_losses
from models.learning.training_settings import HeadSettings
from models.parallel import OnProgress, no_progress

Layer = tuple[NDArray[np.float32], NDArray[np.float32]]


class HeadData(NamedTuple):
    """Training rows: features (N, D) float32, targets (N, K) float32, draw weights (N,) with mean 1."""

    features: NDArray[np.float32]
    targets: NDArray[np.float32]
    draw_weight: NDArray[np.float64]


def fit_head(
    data: HeadData,
    settings: HeadSettings,
    loss: LossSettings,
    weight_decay: float,
    seed: int,
    on_progress: OnProgress = no_progress,
) -> tuple[Layer, ...]:
    """Layers, (weight (out, in), bias (out,)) each, with a ReLU between; standardisation is folded in.

    Two of them, or one where the settings ask for no hidden units.

    The loss of each row times its draw weight, AdamW (arXiv 1711.05101) and a one-cycle schedule. Equal inputs, seed
    and thread count give equal weights on one machine.
    """
    mean, spread = data.features.mean(0), data.features.std(0) + 1e-6
    rows = torch.from_numpy((data.features - mean) / spread)
    targets = torch.from_numpy(data.targets)
    weight = torch.from_numpy(data.draw_weight.astype(np.float32))
    random = torch.Generator().manual_seed(seed)
    members = _Members(rows.shape[1], targets.shape[1], settings, random)
    optimiser = torch.optim.AdamW(members.parameters(), lr=settings.learning_rate, weight_decay=weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, settings.learning_rate, total_steps=settings.steps + 1)
    batches = _batches(len(rows), settings, random)
    for step in range(settings.steps):
        batch = next(batches)
        logits = members(rows[batch], random)
        losses = row_losses(loss, logits, targets[batch])
        optimiser.zero_grad()
        # Each member has its own loss; the sum leaves their gradients apart.
        (losses * weight[batch]).mean(1).sum().backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
        on_progress(step + 1, settings.steps)
    return members.as_layers(mean, spread)


def head_logits(features: NDArray[np.float32], layers: tuple[Layer, ...]) -> NDArray[np.float64]:
    """(N, K) logits of features (N, D): layers with a ReLU between them."""
    weight, bias = layers[-1]
    return np.asarray(hidden_features(features, layers) @ weight.T + bias, dtype=np.float64)


def hidden_features(features: NDArray[np.float32], layers: tuple[Layer, ...]) -> NDArray[np.float32]:
    """(N, H) what the last of the layers is given."""
    hidden = features
    for weight, bias in layers[:-1]:
        hidden = np.maximum(hidden @ weight.T + bias, 0)
    return hidden


def _batches(row_count: int, settings: HeadSettings, random: torch.Generator) -> Iterator[torch.Tensor]:
    """(E, B) row positions without end; every member goes through all rows in an order of its own."""
    while True:
        orders = torch.stack([torch.randperm(row_count, generator=random) for _ in range(settings.members)])
        yield from torch.split(orders, settings.batch_rows, dim=1)


class _Members(nn.Module):
    """E networks of one hidden layer, or of none, as batched matrices."""

    def __init__(self, inputs: int, classes: int, settings: HeadSettings, random: torch.Generator) -> None:
        super().__init__()
        members, hidden = settings.members, settings.hidden_width
        self._dropouts = (settings.input_dropout, settings.hidden_dropout)
        # Half of what a ReLU is given is lost behind it (arXiv 1502.01852).
        shapes = [(inputs, hidden, 2), (hidden, classes, 1)] if hidden else [(inputs, classes, 1)]
        self.weights = nn.ParameterList(
            torch.randn(members, width, out, generator=random) * (gain / width) ** 0.5 for width, out, gain in shapes
        )
        self.biases = nn.ParameterList(torch.zeros(members, 1, out) for _, out, _ in shapes)

    def forward(self, rows: torch.Tensor, random: torch.Generator) -> torch.Tensor:
        """(E, B, K) logits of (E, B, D) rows, with dropout drawn from `random`."""
        for position, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            values = torch.relu(rows) if position else rows
            rows = torch.baddbmm(bias, _drop(values, self._dropouts[position], random), weight)
        return rows

    def as_layers(self, mean: NDArray[np.float32], spread: NDArray[np.float32]) -> tuple[Layer, ...]:
        """The average of the members as one network on features as they come."""
        *first, last = [
            (weight.detach().double().numpy(), bias.detach().double().numpy())
            for weight, bias in zip(self.weights, self.biases, strict=True)
        ]
        if not first:
            return (_on_features(last[0].mean(0).T, last[1].mean((0, 1)), mean, spread),)
        ((weight, bias),) = first
        hidden = _on_features(weight.transpose(0, 2, 1).reshape(-1, weight.shape[1]), bias.ravel(), mean, spread)
        averaged = last[0].transpose(2, 0, 1).reshape(last[0].shape[2], -1) / len(last[0])
        return hidden, (averaged.astype(np.float32), last[1].mean((0, 1)).astype(np.float32))


def _on_features(
    weight: NDArray[np.float64], bias: NDArray[np.float64], mean: NDArray[np.float32], spread: NDArray[np.float32]
) -> Layer:
    """A layer on standardised features as one on features as they come."""
    own = weight / spread
    return np.ascontiguousarray(own, dtype=np.float32), (bias - own @ mean.astype(np.float64)).astype(np.float32)


def _drop(values: torch.Tensor, share: float, random: torch.Generator) -> torch.Tensor:
    if not share:
        return values
    return values * (torch.rand(values.shape, generator=random) >= share) / (1 - share)
