"""The symmetries of a picture: what may be done to it without changing what it shows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from models.errors import ShapeError

Pixels = NDArray[np.uint8]
View = Literal["as_is", "mirrored", "flipped", "turned", "transposed", "left", "right", "antitransposed"]
Symmetries = Literal["none", "mirror", "flips", "dihedral"]

_VIEWS: dict[View, Callable[[Pixels], Pixels]] = {
    "as_is": lambda p: p,
    "mirrored": lambda p: p[:, ::-1],
    "flipped": lambda p: p[::-1],
    "turned": lambda p: p[::-1, ::-1],
    "transposed": lambda p: p.swapaxes(0, 1),
    "left": lambda p: p.swapaxes(0, 1)[::-1],
    "right": lambda p: p.swapaxes(0, 1)[:, ::-1],
    "antitransposed": lambda p: p.swapaxes(0, 1)[::-1, ::-1],
}
_COUNTS: dict[Symmetries, int] = {"none": 1, "mirror": 2, "flips": 4, "dihedral": 8}


def views_of(symmetries: Symmetries) -> tuple[View, ...]:
    """The views of a group of symmetries, the picture as it is first."""
    return tuple(_VIEWS)[: _COUNTS[symmetries]]


def view_of(pixels: Pixels, view: View) -> Pixels:
    """One view of (H, W, 3) pixels, of the same shape.

    Raises:
        ShapeError: a turn by a quarter of a picture that is not square.
    """
    seen = np.ascontiguousarray(_VIEWS[view](pixels))
    if seen.shape != pixels.shape:
        raise ShapeError(
            f"a picture of {pixels.shape[1]} x {pixels.shape[0]} px is to be turned by a quarter",
            "a square one",
            "Set training.augment.symmetries to flips.",
        )
    return seen
