"""Which training rows an epoch draws: the same on every machine, and each as often as its weight says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.errors import DataError, SettingsError, ShapeError

Floats = NDArray[np.float64]
# Parts of one draw. Sums of whole numbers are exact at any length; in float64 a row that is expected exactly once could
# be drawn twice. Less than half a part, 5e-10 of a draw, is never drawn.
_PARTS: Final = 2**30
_MOST_ROWS: Final = 2**32
# Of (x / y) * y, which float64 can leave a little above x.
_ROUNDING = 1 + 1e-12


class DrawWeights(NamedTuple):
    """How often each training row is drawn.

    Attributes:
        first: (N,) weights in the first epoch, 0 or more, in any scale.
        last: (N,) weights in the last epoch.
        rows_per_epoch: rows drawn an epoch, at least 1.
    """

    first: Floats
    last: Floats
    rows_per_epoch: int


class PlanSampler:
    """Positions of the training rows that an epoch draws, in random order: all of them, or one rank's part.

    Sampling is systematic: evenly spaced points fall on the rows, laid end to end in random order, so every row is
    drawn as often as expected, rounded down or up; independent draws would leave a third of equal rows out. Weights
    go in a straight line from first to last over the epochs; a single epoch takes the middle.

    Every rank draws the whole epoch and keeps every `world_size`-th row. Distributed training needs ranks of equal
    length, so where rows are left over, the first draws of the epoch are repeated at its end.
    """

    def __init__(self, weights: DrawWeights, seed: int, epochs: int, rank: int = 0, world_size: int = 1) -> None:
        """Starts at epoch 0.

        Args:
            weights: of N training rows.
            seed: 0 or more; equal seeds draw alike.
            epochs: epochs of the whole training.
            rank: 0..world_size-1.
            world_size: processes that share an epoch.

        Raises:
            SettingsError: a number outside its bounds.
            ShapeError: weights that are not two arrays of one length.
            DataError: weights that are negative, not finite or all 0.
        """
        _require_numbers(weights.rows_per_epoch, seed, epochs, rank, world_size)
        _require_weights(weights)
        self._weights = weights
        self._seed, self._epochs = seed, epochs
        self._rank, self._world_size = rank, world_size
        self._length = -(-weights.rows_per_epoch // world_size)
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Goes to one of the epochs.

        Raises:
            SettingsError: an epoch outside 0..epochs-1.
        """
        if not 0 <= epoch < self._epochs:
            raise _number_error([f"epoch {epoch} outside 0..{self._epochs - 1}"])
        self._epoch = epoch

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[int]:
        return map(int, self.positions())

    def positions(self) -> NDArray[np.int64]:
        """(len,) positions 0..N-1 that this rank draws in this epoch."""
        drawn = self._draw_epoch()
        # resize starts anew at the first draw, as often as it takes.
        return np.resize(drawn, len(self) * self._world_size)[self._rank :: self._world_size]

    def _draw_epoch(self) -> NDArray[np.int64]:
        """(rows_per_epoch,) positions that all ranks together draw."""
        rng = np.random.default_rng([self._seed, self._epoch])
        order = rng.permutation(len(self._weights.first))
        ends = np.cumsum(_in_parts(self._epoch_weights()[order], self._weights.rows_per_epoch))
        # Points lie at offset, offset + _PARTS, ...: so many of them lie below each end.
        ends += _PARTS - 1 - int(rng.integers(_PARTS))
        ends //= _PARTS
        drawn = np.repeat(order, np.diff(ends, prepend=0))
        rng.shuffle(drawn)
        return drawn

    def _epoch_weights(self) -> Floats:
        share = self._epoch / (self._epochs - 1) if self._epochs > 1 else 0.5
        return (1 - share) * self._weights.first + share * self._weights.last


def limit_draws(weights: Floats, rows_per_epoch: int, most: int) -> Floats:
    """(N,) expected draws an epoch, none above `most`; the surplus goes to the other rows, by their weights.

    Args:
        weights: (N,) 0 or more, one of them above.
        rows_per_epoch: the sum of what comes back.
        most: draws of one row, at least 1.

    Raises:
        SettingsError: rows that together may not be drawn as often as an epoch draws.
    """
    ranked = np.sort(weights[weights > 0])[::-1]
    if len(ranked) * most < rows_per_epoch:
        raise SettingsError(
            f"{len(ranked)} pictures, each drawn {most} times at most, do not fill an epoch of {rows_per_epoch} draws",
            "room for every draw",
            f"Set resampling.max_repeats to {-(-rows_per_epoch // len(ranked))} or more, or to 0.",
        )
    # With the k heaviest rows at the limit, the others share what is left; the first k at which none is above it.
    left = rows_per_epoch - np.arange(len(ranked)) * float(most)
    scales = left / np.cumsum(ranked[::-1])[::-1]
    fits = scales * ranked <= most * _ROUNDING
    return np.asarray(np.minimum(weights * scales[fits.argmax()], most))


def _in_parts(weights: Floats, rows_per_epoch: int) -> NDArray[np.int64]:
    """(N,) expected draws in parts of a draw; they add up to whole draws, and no rounding passes a whole draw."""
    shares = weights / weights.max()  # so that the sum of any weights is finite
    shares *= rows_per_epoch / shares.sum() * _PARTS
    parts = np.rint(shares, out=shares).astype(np.int64)
    rest = rows_per_epoch * _PARTS - int(parts.sum())
    # What rounding left over goes to the first rows that are not whole, as far as the next whole draw: to one or two.
    for row in np.flatnonzero(parts % _PARTS) if rest else ():
        above = int(parts[row]) % _PARTS
        step = min(rest, _PARTS - above) if rest > 0 else max(rest, -above)
        parts[row] += step
        rest -= step
        if not rest:
            break
    return np.asarray(parts)


def _require_numbers(rows_per_epoch: int, seed: int, epochs: int, rank: int, world_size: int) -> None:
    bounds = {
        f"rows_per_epoch {rows_per_epoch} outside 1..{_MOST_ROWS}": 1 <= rows_per_epoch <= _MOST_ROWS,
        f"seed {seed} below 0": seed >= 0,
        f"epochs {epochs} below 1": epochs >= 1,
        f"world_size {world_size} below 1": world_size >= 1,
        f"rank {rank} outside 0..{world_size - 1}": world_size < 1 or 0 <= rank < world_size,
    }
    found = [text for text, is_inside in bounds.items() if not is_inside]
    if found:
        raise _number_error(found)


def _number_error(found: list[str]) -> SettingsError:
    return SettingsError(f"draws with {', '.join(found)}", "numbers inside their bounds", "Correct the call.")


def _require_weights(weights: DrawWeights) -> None:
    shapes = (weights.first.shape, weights.last.shape)
    if shapes[0] != shapes[1] or len(shapes[0]) != 1:
        raise ShapeError(
            f"weights have shapes {shapes[0]} and {shapes[1]}", "two arrays of shape (N,)", "Use one resample plan."
        )
    for name, values in (("first", weights.first), ("last", weights.last)):
        if not (np.isfinite(values).all() and (values >= 0).all() and values.any()):
            raise DataError(
                f"{name} weights of {len(values)} rows are negative, not finite or all 0",
                "weights of 0 or more, one of them above",
                "Make the resample plan again.",
            )
