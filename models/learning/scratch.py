"""Training a network from random weights: pictures decoded once, drawn by the resample plan, best epoch kept."""

from __future__ import annotations

import copy
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from models.artifacts.records import EpochRecord
from models.data.draws import DrawWeights, PlanSampler
from models.learning.metrics import confusion_counts, objective_value
from models.learning.training_settings import TrainingSettings
from models.parallel import OnProgress, no_progress


class ScratchData(NamedTuple):
    """Pictures (N, H, W, 3) uint8 and class positions (N,) of train and tune, and how often each of train is drawn."""

    train_pixels: NDArray[np.uint8]
    train_index: NDArray[np.int64]
    draws: DrawWeights
    tune_pixels: NDArray[np.uint8]
    tune_index: NDArray[np.int64]


class ScratchModel(nn.Module):
    """A trunk and a linear head on (N, H, W, 3) uint8."""

    def __init__(self, trunk: nn.Module, inputs: int, classes: int, random: torch.Generator) -> None:
        super().__init__()
        self.trunk = trunk
        self.weight = nn.Parameter(torch.randn(classes, inputs, generator=random) * inputs**-0.5)
        self.bias = nn.Parameter(torch.zeros(classes))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """(N, K) logits."""
        embedding = self.trunk(pixels.permute(0, 3, 1, 2).float() / 255)
        return nn.functional.linear(embedding, self.weight, self.bias)


def fit_scratch(
    trunk: nn.Module,
    data: ScratchData,
    class_count: int,
    training: TrainingSettings,
    on_progress: OnProgress = no_progress,
) -> tuple[ScratchModel, list[EpochRecord], NDArray[np.float64]]:
    """The model of the best epoch on tune, all epochs, and its (N, K) tune logits."""
    settings = training.scratch
    random = torch.Generator().manual_seed(training.seed)
    sampler = PlanSampler(data.draws, training.seed, settings.epochs)
    inputs = int(trunk(torch.zeros(2, 3, *data.train_pixels.shape[1:3])).shape[1])
    model = ScratchModel(trunk, inputs, class_count, random).to(memory_format=torch.channels_last)
    steps = -(-len(sampler) // settings.batch_rows)
    optimiser = torch.optim.AdamW(model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, settings.learning_rate, total_steps=settings.epochs * steps + 1
    )
    epochs: list[EpochRecord] = []
    best_state, best_logits, best_value = copy.deepcopy(model.state_dict()), None, -1.0
    for epoch in range(settings.epochs):
        sampler.set_epoch(epoch)
        batches = np.array_split(sampler.positions(), steps)
        losses = [_step(model, optimiser, schedule, data, rows, random) for rows in batches]
        logits = _logits(model, data.tune_pixels)
        record = _record(epoch, float(np.mean(losses)), logits, data.tune_index, training.objective)
        epochs.append(record)
        on_progress(epoch + 1, settings.epochs)
        if record.tune_objective > best_value:
            best_value, best_logits = record.tune_objective, logits
            best_state = copy.deepcopy(model.state_dict())
        elif epoch - max(range(len(epochs)), key=lambda k: epochs[k].tune_objective) >= settings.patience:
            break
    model.load_state_dict(best_state)
    return model.eval(), epochs, _logits(model, data.tune_pixels) if best_logits is None else best_logits


def _step(
    model: ScratchModel,
    optimiser: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    data: ScratchData,
    rows: NDArray[np.int64],
    random: torch.Generator,
) -> float:
    model.train()
    pixels = torch.from_numpy(data.train_pixels[rows])
    mirrored = torch.rand(len(rows), generator=random) < 0.5
    pixels[mirrored] = pixels[mirrored].flip(2)
    loss = nn.functional.cross_entropy(model(pixels), torch.from_numpy(data.train_index[rows]))
    optimiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimiser.step()
    schedule.step()
    return float(loss.detach())


def _logits(model: ScratchModel, pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    model.eval()
    with torch.inference_mode():
        parts = [model(part) for part in torch.split(torch.from_numpy(pixels), 128)]
    return np.asarray(torch.cat(parts).numpy(), dtype=np.float64)


def _record(
    epoch: int, train_loss: float, logits: NDArray[np.float64], true_index: NDArray[np.int64], objective: str
) -> EpochRecord:
    loss = nn.functional.cross_entropy(torch.from_numpy(logits), torch.from_numpy(true_index))
    confusion = confusion_counts(true_index, logits.argmax(1), logits.shape[1])
    value = float(objective_value(confusion, objective))
    return EpochRecord(epoch=epoch, train_loss=train_loss, tune_loss=float(loss), tune_objective=value)
