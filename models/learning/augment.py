"""Pictures varied while a network learns from them: whole batches, on their device, all chance from one generator."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch

from models.learning.augment_operations import (
    AUGMIX_OPERATIONS,
    OPERATION_COUNT,
    Moves,
    moved,
    operated,
    with_symmetry,
)
from models.learning.training_settings import AugmentSettings

# What "light" does at strength 1.
_LIGHT_TURN_RAD = math.radians(8)
_LIGHT_SHIFT = 0.06
_LIGHT_ZOOM = 0.1
_LIGHT_CHANGE = 0.15
# The paper's: chains a picture, operations of the longest, and how far one goes at strength 0.5 (its severity 3 of 10).
_CHAINS, _LONGEST_CHAIN, _CHAIN_REACH = 3, 3, 0.6


class Batch(NamedTuple):
    """Pictures and what they show.

    Attributes:
        pixels: (N, H, W, 3), 0..255; uint8, or float32 behind `augmented`.
        targets: (N, K) float32: one-hot, or multi-hot for several labels; convex combinations of those behind
            mixup and cutmix.
    """

    pixels: torch.Tensor
    targets: torch.Tensor


def augmented(batch: Batch, settings: AugmentSettings, random: torch.Generator) -> Batch:
    """The batch varied; it is not changed, but where nothing is to be done its own tensors come back.

    Args:
        batch: pictures (N, H, W, 3) uint8, on any device.
        settings: what is done.
        random: a CPU generator; equal ones give equal batches.

    Returns:
        Pixels in 0..255 on the same device: uint8 where they are only mirrored, turned or cut, else float32, not
        rounded.

    Raises:
        ShapeError: quarter turns of pictures that are not square.
    """
    pixels = with_symmetry(batch.pixels, settings.symmetries, random)
    if settings.policy == "trivial":
        pixels = _trivial(pixels, random)
    elif settings.policy != "none" and settings.strength > 0:
        pixels = _BY_STRENGTH[settings.policy](pixels, settings.strength, random)
    return _mixed(Batch(pixels, batch.targets), settings, random)


def _light(pixels: torch.Tensor, strength: float, random: torch.Generator) -> torch.Tensor:
    """Small moves of every picture in one resampling, brightness and contrast in one multiplication."""
    turn, shift_x, shift_y, zoom, *light = strength * _signed((6, len(pixels)), random)
    still = torch.zeros(len(pixels))
    shift_x, shift_y = _LIGHT_SHIFT * shift_x, _LIGHT_SHIFT * shift_y
    result = moved(pixels, Moves(_LIGHT_TURN_RAD * turn, still, still, shift_x, shift_y, 1 + _LIGHT_ZOOM * zoom))
    brightness, contrast = (
        (1 + _LIGHT_CHANGE * level).view(-1, 1, 1, 1).to(pixels.device, result.dtype) for level in light
    )
    mean = result.mean((1, 2, 3), keepdim=True)
    return result.mul_(brightness * contrast).add_(mean * brightness * (1 - contrast)).clamp_(0, 255)


def _trivial(pixels: torch.Tensor, random: torch.Generator) -> torch.Tensor:
    """One operation of any strength a picture (TrivialAugment, arXiv 2103.10158), without sharpness and equalise."""
    operations = torch.randint(OPERATION_COUNT, (len(pixels), 1), generator=random)
    return operated(pixels, operations, _signed((len(pixels), 1), random))


def _rand(pixels: torch.Tensor, strength: float, random: torch.Generator) -> torch.Tensor:
    """Two operations of one strength a picture (RandAugment, arXiv 1909.13719), without sharpness and equalise."""
    operations = torch.randint(OPERATION_COUNT, (len(pixels), 2), generator=random)
    return operated(pixels, operations, strength * _signed((len(pixels), 2), random).sign())


def _augmix(pixels: torch.Tensor, strength: float, random: torch.Generator) -> torch.Tensor:
    """Three chains of one to three operations, laid over each other and over the picture (AugMix, arXiv 1912.02781).

    Without the paper's second loss, which would take three passes through the network a step.
    """
    rows = len(pixels)
    # Exponential numbers over their sum are even shares of a whole: the paper's Dirichlet(1, 1, 1).
    portions = -torch.rand((rows, _CHAINS), generator=random).clamp_min(1e-12).log_()
    portions /= portions.sum(1, keepdim=True)
    # Even, the paper's Beta(1, 1).
    changed = torch.rand((rows, 1), generator=random)
    shares = torch.cat([1 - changed, changed * portions], 1).to(pixels.device).view(rows, -1, 1, 1, 1)
    result = pixels.float() * shares[:, 0]
    for chain in range(_CHAINS):
        result += operated(pixels, _chain(rows, random), _levels(rows, strength, random)) * shares[:, chain + 1]
    return result.clamp_(0, 255)


def _chain(rows: int, random: torch.Generator) -> torch.Tensor:
    """(N, 3) operations, of which those behind the chain's end do nothing."""
    drawn = torch.tensor(AUGMIX_OPERATIONS)[
        torch.randint(len(AUGMIX_OPERATIONS), (rows, _LONGEST_CHAIN), generator=random)
    ]
    length = torch.randint(1, _LONGEST_CHAIN + 1, (rows, 1), generator=random)
    return torch.where(torch.arange(_LONGEST_CHAIN) < length, drawn, OPERATION_COUNT - 1)


def _levels(rows: int, strength: float, random: torch.Generator) -> torch.Tensor:
    return strength * _CHAIN_REACH * _signed((rows, _LONGEST_CHAIN), random)


def _signed(shape: tuple[int, int], random: torch.Generator) -> torch.Tensor:
    """Numbers between -1 and 1, float32, on the CPU."""
    return 2 * torch.rand(shape, generator=random) - 1


def _mixed(batch: Batch, settings: AugmentSettings, random: torch.Generator) -> Batch:
    """Every picture mixed with another of the batch by one share, by mixup or cutmix; a coin decides between both."""
    wanted = [(_mixup, settings.mixup_alpha), (_cutmix, settings.cutmix_alpha)]
    offered = [(mix, alpha) for mix, alpha in wanted if alpha > 0]
    if not offered:
        return batch
    mix, alpha = offered[int(torch.randint(len(offered), (1,), generator=random))]
    partners = torch.randperm(len(batch.pixels), generator=random).to(batch.pixels.device)
    return mix(batch, partners, _beta(alpha, random), random)


def _beta(alpha: float, random: torch.Generator) -> float:
    """A share from Beta(alpha, alpha); torch draws it from its global generator only."""
    seed = int(torch.randint(2**63 - 1, (1,), generator=random))
    return float(np.random.default_rng(seed).beta(alpha, alpha))


def _mixup(batch: Batch, partners: torch.Tensor, share: float, _: torch.Generator) -> Batch:
    """Each picture by its share, and its partner by the rest (arXiv 1710.09412)."""
    pixels = batch.pixels.float()
    return Batch(pixels.index_select(0, partners).lerp_(pixels, share), _blended(batch.targets, partners, share))


def _cutmix(batch: Batch, partners: torch.Tensor, share: float, random: torch.Generator) -> Batch:
    """A box of its partner in each picture; the share is that of the area that is left (arXiv 1905.04899)."""
    height, width = batch.pixels.shape[1:3]
    side = math.sqrt(1 - share)
    down, across = (_span(count, side, random) for count in (height, width))
    pixels = batch.pixels.clone()
    pixels[:, down, across] = batch.pixels[:, down, across].index_select(0, partners)
    left = 1 - (down.stop - down.start) * (across.stop - across.start) / (height * width)
    return Batch(pixels, _blended(batch.targets, partners, left))


def _blended(targets: torch.Tensor, partners: torch.Tensor, share: float) -> torch.Tensor:
    return targets.index_select(0, partners).lerp_(targets, share)


def _span(count: int, side: float, random: torch.Generator) -> slice:
    """A stretch of up to `side` of `count` pixels about any of them, cut off at the edges."""
    centre, half = int(torch.randint(count, (1,), generator=random)), round(count * side) / 2
    return slice(max(round(centre - half), 0), min(round(centre + half), count))


_BY_STRENGTH = {"light": _light, "rand": _rand, "augmix": _augmix}
