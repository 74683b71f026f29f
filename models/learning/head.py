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
) -> tuple[Layer, Layer]:
    """Two layers, (weight (out, in), bias (out,)) each, with a ReLU between; standardisation is folded in.

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
    """E networks of one hidden layer as batched matrices."""

    def __init__(self, inputs: int, classes: int, settings: HeadSettings, random: torch.Generator) -> None:
        super().__init__()
        members, hidden = settings.members, settings.hidden_width
        self._settings = settings
        first = torch.randn(members, inputs, hidden, generator=random) * (2 / inputs) ** 0.5
        second = torch.randn(members, hidden, classes, generator=random) * (1 / hidden) ** 0.5
        self.first, self.first_bias = nn.Parameter(first), nn.Parameter(torch.zeros(members, 1, hidden))
        self.second, self.second_bias = nn.Parameter(second), nn.Parameter(torch.zeros(members, 1, classes))

    def forward(self, rows: torch.Tensor, random: torch.Generator) -> torch.Tensor:
        """(E, B, K) logits of (E, B, D) rows, with dropout drawn from `random`."""
        rows = _drop(rows, self._settings.input_dropout, random)
        hidden = torch.relu(torch.baddbmm(self.first_bias, rows, self.first))
        hidden = _drop(hidden, self._settings.hidden_dropout, random)
        return torch.baddbmm(self.second_bias, hidden, self.second)

    def as_layers(self, mean: NDArray[np.float32], spread: NDArray[np.float32]) -> tuple[Layer, Layer]:
        """The average of the members as one network on features as they come."""
        with torch.no_grad():
            members = len(self.first)
            first = self.first.permute(0, 2, 1).flatten(0, 1).double().numpy() / spread
            first_bias = self.first_bias.flatten().double().numpy() - first @ mean.astype(np.float64)
            second = self.second.permute(2, 0, 1).flatten(1).numpy() / members
            second_bias = self.second_bias.mean((0, 1)).numpy()
        return (
            (first.astype(np.float32), first_bias.astype(np.float32)),
            (np.ascontiguousarray(second, dtype=np.float32), second_bias.astype(np.float32)),
        )


def _drop(values: torch.Tensor, share: float, random: torch.Generator) -> torch.Tensor:
    if not share:
        return values
    return values * (torch.rand(values.shape, generator=random) >= share) / (1 - share)
