"""What can be done to a batch of pictures: symmetries, moves by one resampling, changes of light and colour.

Parameters are drawn and kept on the CPU, a number a picture; only what is multiplied with pixels goes to their device.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch.nn import functional

from models.data.views import Symmetries, views_of
from models.errors import ShapeError

_GREY = (0.299, 0.587, 0.114)
_QUARTER_TURNS = 4
# Farthest move of each geometric operation: radians, slopes and shares of a side, as in RandAugment.
_FARTHEST = (math.radians(30), 0.3, 0.3, 0.3, 0.3)


class Moves(NamedTuple):
    """How pictures are moved, each about its centre; (N,) float32 each; shifts are shares of a side."""

    turn_rad: torch.Tensor
    shear_x: torch.Tensor
    shear_y: torch.Tensor
    shift_x: torch.Tensor
    shift_y: torch.Tensor
    zoom: torch.Tensor


def with_symmetry(pixels: torch.Tensor, symmetries: Symmetries, random: torch.Generator) -> torch.Tensor:
    """(N, H, W, 3) pictures, each in a view of its own of the group.

    Raises:
        ShapeError: quarter turns of pictures that are not square.
    """
    count = len(views_of(symmetries))
    if count == 1:
        return pixels
    height, width = pixels.shape[1:3]
    if count > _QUARTER_TURNS and height != width:
        raise ShapeError(
            f"pictures of {width} x {height} px are to be turned by a quarter",
            "square ones",
            "Set training.augment.symmetries to flips.",
        )
    views = torch.randint(count, (len(pixels),), generator=random)
    groups = [(views == view).nonzero()[:, 0] for view in range(count)]
    parts = [_view(_rows(pixels, group), view) for view, group in enumerate(groups)]
    return _rows(torch.cat(parts), torch.cat(groups).argsort())


def moved(pixels: torch.Tensor, moves: Moves) -> torch.Tensor:
    """(N, H, W, 3) float32 of new memory; bilinear, and what lies outside is mirrored in."""
    planes = pixels.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.contiguous_format)
    grid = _grid(moves, planes.shape[2], planes.shape[3], planes.device)
    sampled = functional.grid_sample(planes, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    return sampled.permute(0, 2, 3, 1)


def operated(pixels: torch.Tensor, operations: torch.Tensor, levels: torch.Tensor) -> torch.Tensor:
    """(N, H, W, 3) float32 of new memory: geometric operations first, all in one resampling, then the others in turn.

    Args:
        pixels: (N, H, W, 3), 0..255.
        operations: (N, S) int64, 0..OPERATION_COUNT-1, on the CPU.
        levels: (N, S) float32 in -1..1, on the CPU; 0 leaves a picture as it is.
    """
    result = pixels.to(torch.float32, copy=True)
    reach = torch.stack([(levels * (operations == place)).sum(1) * most for place, most in enumerate(_FARTHEST)])
    rows = reach.any(0).nonzero()[:, 0]
    if len(rows):
        turn_rad, shear_x, shear_y, shift_x, shift_y = reach[:, rows]
        moves = Moves(turn_rad, shear_x, shear_y, shift_x, shift_y, torch.ones(len(rows)))
        result[rows.to(pixels.device)] = moved(_rows(pixels, rows), moves)
    for slot in range(operations.shape[1]):
        for place, change in enumerate(_CHANGES, start=len(_FARTHEST)):
            rows = (operations[:, slot] == place).nonzero()[:, 0]
            if len(rows):
                level = levels[rows, slot].to(pixels.device).view(-1, 1, 1, 1)
                result[rows.to(pixels.device)] = change(_rows(result, rows), level).clamp_(0, 255)
    return result


def _rows(pixels: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """Pictures at positions that lie on the CPU; indexing by brackets takes fifteen times as long there."""
    return pixels.index_select(0, rows.to(pixels.device))


def _view(pixels: torch.Tensor, view: int) -> torch.Tensor:
    """The views are numbered so that their first 1, 2, 4 and 8 are the groups of `views_of`."""
    if view & 4:
        pixels = pixels.transpose(1, 2)
    flipped = [dim for dim, bit in ((2, 1), (1, 2)) if view & bit]
    return pixels.flip(flipped) if flipped else pixels


def _grid(moves: Moves, height: int, width: int, device: torch.device) -> torch.Tensor:
    """(N, H, W, 2) places in -1..1 to sample from; x and y scale with the sides, so turns take their ratio.

    The two coordinates are added as one complex number: functional.affine_grid takes three times what sampling does.
    """
    cos, sin = moves.turn_rad.cos() / moves.zoom, moves.turn_rad.sin() / moves.zoom
    along_x = torch.complex(cos - sin * moves.shear_y, (sin + cos * moves.shear_y) * width / height)
    along_y = torch.complex((cos * moves.shear_x - sin) * height / width, cos + sin * moves.shear_x)
    shift = torch.complex(2 * moves.shift_x, 2 * moves.shift_y)
    columns = torch.outer(along_x, _centres(width).to(along_x.dtype)) + shift[:, None]
    rows = torch.outer(along_y, _centres(height).to(along_y.dtype))
    return torch.view_as_real(columns.to(device)[:, None, :] + rows.to(device)[:, :, None])


def _centres(count: int) -> torch.Tensor:
    """Centres of so many pixels between -1 and 1."""
    return (2 * torch.arange(count, dtype=torch.float32) + 1) / count - 1


def _brightness(pixels: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
    return pixels * (1 + 0.9 * level)


def _contrast(pixels: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
    return _away_from(_grey(pixels).mean((1, 2), keepdim=True), pixels, level)


def _saturation(pixels: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
    return _away_from(_grey(pixels), pixels, level)


def _posterize(pixels: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
    """Up to four of eight bits are dropped."""
    step = 2 ** (4 * level.abs()).round()
    # Resampled values lie a rounding below whole numbers.
    return (pixels.round() / step).floor_() * step


def _solarize(pixels: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
    return torch.where(pixels < 256 * (1 - level.abs()), pixels, 255 - pixels)


def _autocontrast(pixels: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
    """The papers' has no strength; here it is laid over the picture as far as the level says. A flat channel stays."""
    low, high = pixels.amin((1, 2), keepdim=True), pixels.amax((1, 2), keepdim=True)
    stretched = torch.where(high > low, (pixels - low) * (255 / (high - low).clamp_min(1)), pixels)
    return pixels.lerp(stretched, level.abs())


def _away_from(centre: torch.Tensor, pixels: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
    return centre + (pixels - centre) * (1 + 0.9 * level)


def _grey(pixels: torch.Tensor) -> torch.Tensor:
    """(N, H, W, 1) luminance."""
    return (pixels @ pixels.new_tensor(_GREY)).unsqueeze(-1)


def _place_of(change: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> int:
    return len(_FARTHEST) + _CHANGES.index(change)


_CHANGES: tuple[Callable[[torch.Tensor, torch.Tensor], torch.Tensor], ...] = (
    _brightness,
    _contrast,
    _saturation,
    _posterize,
    _solarize,
    _autocontrast,
)
# The last one does nothing.
OPERATION_COUNT = len(_FARTHEST) + len(_CHANGES) + 1
# Moves, posterize, solarize and autocontrast: without what robustness is judged by, brightness, contrast and colour.
AUGMIX_OPERATIONS = (*range(len(_FARTHEST)), *map(_place_of, (_posterize, _solarize, _autocontrast)))
