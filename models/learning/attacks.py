"""Pictures changed a little so that a network errs: FGSM, PGD, and the one step that training against them takes.

Pixels are in 0..255, and so is the largest change of one. What these leave of a network's accuracy is an upper bound:
a stronger attack, such as AutoAttack (arXiv 2003.01690), leaves less.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn import functional

from models.errors import SettingsError

PGD_STEPS = 10
# Of the largest change, a step of PGD (arXiv 1706.06083) and of training (arXiv 2001.03994).
_PGD_STEP = 0.25
_TRAINING_STEP = 1.25
Logits = Callable[[torch.Tensor], torch.Tensor]
Loss = Callable[[torch.Tensor], torch.Tensor]


def fgsm(logits_of: Logits, pixels: torch.Tensor, true_index: torch.Tensor, most_change: float) -> torch.Tensor:
    """Pictures one step up the loss (arXiv 1412.6572), (N, H, W, 3) float32 within `most_change` and 0..255.

    Args:
        logits_of: (N, K) of (N, H, W, 3) float pixels in 0..255.
        pixels: (N, H, W, 3), 0..255; they are not changed.
        true_index: (N,) class positions.
        most_change: of a pixel, of 255.
    """
    start = pixels.float()
    slope = _slope(_loss_of(logits_of, true_index), start)
    return _within(start + most_change * slope.sign(), start, most_change)


def pgd(
    logits_of: Logits,
    pixels: torch.Tensor,
    true_index: torch.Tensor,
    most_change: float,
    random: torch.Generator,
    steps: int = PGD_STEPS,
) -> torch.Tensor:
    """Pictures several steps up the loss from a random start, (N, H, W, 3) float32, as `fgsm` otherwise.

    Args:
        logits_of: as for `fgsm`.
        pixels: as for `fgsm`.
        true_index: as for `fgsm`.
        most_change: as for `fgsm`.
        random: a CPU generator.
        steps: of a quarter of `most_change` each.
    """
    start, loss_of = pixels.float(), _loss_of(logits_of, true_index)
    changed = _within(start + random_change(start, most_change, random), start, most_change)
    for _ in range(steps):
        changed = _within(changed + _PGD_STEP * most_change * _slope(loss_of, changed).sign(), start, most_change)
    return changed


def fast_adversarial(loss_of: Loss, pixels: torch.Tensor, change: torch.Tensor, most_change: float) -> torch.Tensor:
    """Pictures to train on: one long step up the loss from a random start (arXiv 2001.03994).

    Args:
        loss_of: the loss of (N, H, W, 3) float pixels in 0..255; parameters get no gradient here.
        pixels: (N, H, W, 3), 0..255; they are not changed.
        change: the random start, as `random_change` gives it.
        most_change: of a pixel, of 255.
    """
    start = pixels.float()
    slope = _slope(loss_of, (start + change).clamp(0, 255))
    # As published, the start may lie outside 0..255 and the end may not.
    return _within(start + change + _TRAINING_STEP * most_change * slope.sign(), start, most_change)


def random_change(pixels: torch.Tensor, most_change: float, random: torch.Generator) -> torch.Tensor:
    """Evenly between -`most_change` and `most_change`; float32 of the shape of `pixels`, on their device.

    Drawn on the CPU, so that one seed gives one change on every device.
    """
    return ((2 * torch.rand(pixels.shape, generator=random) - 1) * most_change).to(pixels.device)


def require_pixels(most_change: float, found: str) -> None:
    """Refuses training against changed pictures where the network is not given pictures.

    Raises:
        SettingsError: `most_change` is above 0.
    """
    if most_change:
        raise SettingsError(
            f"training.fit.adversarial_eps={most_change:g}, and {found}",
            "pictures as what the trained network is given",
            "Set training.learner=fine_tune and training.fit.frozen_stages=0, or training.learner=scratch.",
        )


def _loss_of(logits_of: Logits, true_index: torch.Tensor) -> Loss:
    # The sum leaves the slopes of pictures apart; float32 would show none where the network is sure.
    return lambda pixels: functional.cross_entropy(logits_of(pixels).double(), true_index, reduction="sum")


def _slope(loss_of: Loss, pixels: torch.Tensor) -> torch.Tensor:
    with torch.enable_grad():
        seen = pixels.detach().requires_grad_()
        (slope,) = torch.autograd.grad(loss_of(seen), seen)
    return slope


def _within(pixels: torch.Tensor, start: torch.Tensor, most_change: float) -> torch.Tensor:
    """Not farther from `start` than allowed, and pixels still."""
    return torch.clamp(torch.clamp(pixels, start - most_change, start + most_change), 0, 255)
