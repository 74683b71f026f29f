"""How weights move: groups with rates of their own, a cosine schedule, an average over steps, a rate found by trial."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable

import torch
from torch import nn

_RANGE_STEPS = 60
_LOWEST_RATE, _HIGHEST_RATE = 1e-5, 0.3
# The rate at which the loss is lowest is already close to where it breaks out.
_BACK_OFF = 5.0
_BREAKS_OUT = 3.0
_SMOOTHING = 0.9


def make_optimiser(
    model: nn.Module, learning_rate: float, weight_decay: float, layer_rate_decay: float
) -> torch.optim.AdamW:
    """AdamW (arXiv 1711.05101); norms and biases do not decay, and each stage below the head learns slower by a factor.

    A stage is what shares the first number in its parameters' names, in the order in which they come; every group
    keeps the factor of its rate as `share`.
    """
    groups: dict[tuple[int, bool], list[nn.Parameter]] = {}
    stages: dict[str, int] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        depth = stages.setdefault(_stage(name), len(stages))
        groups.setdefault((depth, parameter.ndim > 1), []).append(parameter)
    top = max(depth for depth, _ in groups)
    return torch.optim.AdamW(
        [
            {
                "params": parameters,
                "weight_decay": weight_decay if decays else 0.0,
                "share": layer_rate_decay ** (top - depth),
                "lr": learning_rate * layer_rate_decay ** (top - depth),
            }
            for (depth, decays), parameters in groups.items()
        ]
    )


def _stage(name: str) -> str:
    """The part of a parameter's name that tells its stage: up to its first number, or its first two words."""
    parts = name.split(".")
    for place, part in enumerate(parts):
        if part.isdigit():
            return ".".join(parts[: place + 1])
    return ".".join(parts[:-1][:3])


def rate_share(step: int, steps: int, warmup_share: float) -> float:
    """Share of the highest rate at a step: a straight rise, then half a cosine down to 0 (arXiv 1608.03983)."""
    warmup = max(int(steps * warmup_share), 1)
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * min((step - warmup) / max(steps - warmup, 1), 1.0)))


def set_rate(optimiser: torch.optim.Optimizer, learning_rate: float) -> None:
    """Sets the rate of every group, each times its share."""
    for group in optimiser.param_groups:
        group["lr"] = learning_rate * group["share"]


def update_average(average: dict[str, torch.Tensor], model: nn.Module, decay: float, step: int) -> None:
    """Moves an exponential average of weights towards the model's; young averages move faster, as timm's do."""
    weight = min(decay, (1 + step) / (10 + step))
    for name, value in model.state_dict().items():
        if value.is_floating_point():
            average[name].lerp_(value, 1 - weight)
        else:
            average[name].copy_(value)


def find_rate(
    model: nn.Module,
    make: Callable[[float], torch.optim.Optimizer],
    losses: Iterable[Callable[[], torch.Tensor]],
) -> float:
    """A highest rate by the range test of Smith (arXiv 1506.01186); the model is left as it was.

    Args:
        model: whose weights are moved and put back.
        make: gives an optimiser of a rate.
        losses: each gives the loss of one batch; the first 60 are used.
    """
    before = copy.deepcopy(model.state_dict())
    optimiser = make(_LOWEST_RATE)
    growth = (_HIGHEST_RATE / _LOWEST_RATE) ** (1 / (_RANGE_STEPS - 1))
    smooth, best, best_rate = 0.0, math.inf, 1e-3 * _BACK_OFF
    for step, loss_of in zip(range(_RANGE_STEPS), losses, strict=False):
        rate = _LOWEST_RATE * growth**step
        set_rate(optimiser, rate)
        loss = loss_of()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        smooth = _SMOOTHING * smooth + (1 - _SMOOTHING) * float(loss.detach())
        unbiased = smooth / (1 - _SMOOTHING ** (step + 1))
        if not math.isfinite(unbiased) or unbiased > _BREAKS_OUT * best:
            break
        if step >= _RANGE_STEPS // 6 and unbiased < best:
            best, best_rate = unbiased, rate
    model.load_state_dict(before)
    return min(max(best_rate / _BACK_OFF, 1e-4), 1e-2)
