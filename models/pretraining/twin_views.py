"""Learning from two varied views of each picture: a loop that is bounded in time, can be stopped, and goes on."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from models.errors import TrainingDiverged, TrainingStopped
from models.interruption import StopRequest
from models.learning.augment import Batch, augmented
from models.learning.optimiser import make_optimiser, rate_share, set_rate
from models.learning.training_state import (
    FitPlan,
    Place,
    TrainingState,
    behind_prefix,
    load_state,
    optimiser_tensors,
    restore_optimiser,
    save_state,
    with_prefix,
)
from models.networks.registry import as_input
from models.parallel import OnProgress
from models.pretraining.losses import simclr_loss, vicreg_loss
from models.pretraining.settings import PretrainSettings

_WARMUP_SHARE = 0.05
# Of the budget, what is left for the scores and for writing.
_BUDGET_MARGIN = 0.9


class Loop(NamedTuple):
    """What the loop is told, and whom it tells.

    Attributes:
        state_path: where its state is kept between epochs.
        on_epoch: called with epochs done and the mean loss; its time counts.
    """

    settings: PretrainSettings
    device: torch.device
    state_path: Path
    stop: StopRequest
    on_progress: OnProgress
    on_epoch: Callable[[int, float], None]


class Pretrained(NamedTuple):
    """What is told of a training; the weights are in the trunk.

    Attributes:
        losses: mean of each epoch.
    """

    losses: tuple[float, ...]
    elapsed_s: float
    is_whole: bool


class _Twins(nn.Module):
    """A trunk with the layers behind it that are thrown away."""

    def __init__(self, trunk: nn.Module, embedding_width: int, settings: PretrainSettings) -> None:
        super().__init__()
        width = settings.projector_width
        self.trunk = trunk
        self.projector = nn.Sequential(
            nn.Linear(embedding_width, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, width)
        )

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.projector(self.trunk(picture))
        return found


def learn_from_views(trunk: nn.Module, pixels: NDArray[np.uint8], loop: Loop) -> Pretrained:
    """Trains a trunk on pictures (N, H, W, 3) uint8, from a saved state where there is one.

    A picture is seen twice a step, each time varied anew; the chance of a step comes from the seed, the epoch and the
    step, so whoever goes on draws what would have been drawn.

    Raises:
        TrainingStopped: somebody asked it to; the last whole epoch is saved.
        TrainingDiverged: the loss is not a number.
    """
    settings = loop.settings
    with torch.inference_mode():
        width = int(trunk.eval()(as_input(torch.from_numpy(np.array(pixels[:2])), settings.channels)).shape[1])
    torch.manual_seed(settings.seed)
    model = _Twins(trunk, width, settings).to(loop.device)
    optimiser = make_optimiser(model, settings.learning_rate, settings.weight_decay, 1.0)
    rows = min(settings.batch_rows, len(pixels))
    steps = max(len(pixels) // rows, 1)
    plan = FitPlan(epochs=settings.epochs, batch_rows=rows, learning_rate=settings.learning_rate, precision="float32")
    place, losses, before_s = _restored(model, optimiser, loop.state_path, Place(plan=plan))
    started = time.monotonic()
    for epoch in range(place.epoch, settings.epochs):
        elapsed_s = before_s + time.monotonic() - started
        if elapsed_s >= settings.time_budget_minutes * 60 * _BUDGET_MARGIN:
            return Pretrained(tuple(losses), elapsed_s, is_whole=False)
        # The rate falls over the epochs that fit: a schedule cut short would leave it high.
        total = _epochs_that_fit(epoch, elapsed_s, settings)
        losses.append(_run_epoch(model, optimiser, pixels, loop, (epoch, total, steps, rows)))
        loop.on_progress(epoch + 1, total)
        loop.on_epoch(epoch + 1, losses[-1])
        done = place.model_copy(
            update={"epoch": epoch + 1, "losses": losses, "elapsed_s": before_s + time.monotonic() - started}
        )
        save_state(loop.state_path, _state(model, optimiser, done))
        if epoch + 1 >= total:
            break
    return Pretrained(tuple(losses), before_s + time.monotonic() - started, is_whole=len(losses) == settings.epochs)


def _run_epoch(
    model: _Twins,
    optimiser: torch.optim.Optimizer,
    pixels: NDArray[np.uint8],
    loop: Loop,
    course: tuple[int, int, int, int],
) -> float:
    """Mean loss of one pass; `course` is the epoch, the epochs in all, steps and rows a step."""
    settings, (epoch, total, steps, rows) = loop.settings, course
    order = np.random.default_rng((settings.seed, epoch)).permutation(len(pixels))
    model.train()
    found = []
    for step in range(steps):
        if loop.stop.is_made:
            raise TrainingStopped(
                f"pretraining was asked to stop in epoch {epoch + 1}, and {epoch} epochs are saved",
                "it to go on some time",
                "Run the same command again: it goes on from there.",
            )
        random = torch.Generator().manual_seed((settings.seed * 1_000_003 + epoch) * 100_003 + step)
        picked = torch.from_numpy(np.ascontiguousarray(pixels[np.sort(order[step * rows : (step + 1) * rows])]))
        views = [_view(picked.to(loop.device), settings, random) for _ in range(2)]
        first, second = model(torch.cat(views)).chunk(2)
        loss = (
            vicreg_loss(first, second)
            if settings.method == "vicreg"
            else simclr_loss(first, second, settings.temperature)
        )
        share = rate_share(epoch * steps + step, total * steps, _WARMUP_SHARE)
        set_rate(optimiser, settings.learning_rate * share)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        found.append(float(loss.detach()))
    mean = float(np.mean(found))
    if not np.isfinite(mean):
        raise TrainingDiverged(
            f"the loss of epoch {epoch + 1} is {mean} at rate {settings.learning_rate}",
            "a number",
            f"Set pretrain.learning_rate={settings.learning_rate / 10}.",
        )
    return mean


def _view(pixels: torch.Tensor, settings: PretrainSettings, random: torch.Generator) -> torch.Tensor:
    """(N, channels, H, W) in 0..1 of pictures varied anew."""
    varied = augmented(Batch(pixels, torch.zeros(len(pixels), 1)), settings.augment, random).pixels
    return as_input(varied, settings.channels)


def _epochs_that_fit(epoch: int, elapsed_s: float, settings: PretrainSettings) -> int:
    if not epoch:
        return settings.epochs
    fitting = int(settings.time_budget_minutes * 60 * _BUDGET_MARGIN / (elapsed_s / epoch))
    return max(min(settings.epochs, fitting), epoch + 1)


def _state(model: _Twins, optimiser: torch.optim.Optimizer, place: Place) -> TrainingState:
    tensors = {**with_prefix("model.", model.state_dict()), **with_prefix("optimiser.", optimiser_tensors(optimiser))}
    return TrainingState(place, tensors)


def _restored(
    model: _Twins, optimiser: torch.optim.Optimizer, path: Path, fresh: Place
) -> tuple[Place, list[float], float]:
    """Where it goes on, the losses so far, and the seconds that they took."""
    saved = load_state(path)
    if saved is None:
        return fresh, [], 0.0
    model.load_state_dict(behind_prefix("model.", saved.tensors))
    restore_optimiser(optimiser, behind_prefix("optimiser.", saved.tensors))
    return saved.place, list(saved.place.losses), saved.place.elapsed_s
