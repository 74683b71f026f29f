"""What a network in training is given: batches of pictures, varied, or maps of frozen stages, one view a draw."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from models.learning.augment import Batch, augmented
from models.learning.training_settings import AugmentSettings


class TrainInputs(Protocol):
    """Inputs of train, drawn by position, and of tune, in order."""

    @property
    def tune_rows(self) -> int:
        """Number of tune rows."""
        ...

    def draw(
        self, positions: NDArray[np.int64], random: torch.Generator, device: torch.device
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Inputs of the drawn rows, each varied by `random`, and their (N, K) targets."""
        ...

    def plain(self, positions: NDArray[np.int64], device: torch.device) -> torch.Tensor:
        """Inputs of train rows as they are."""
        ...

    def tune(self, positions: NDArray[np.int64], device: torch.device) -> torch.Tensor:
        """Inputs of tune rows as they are."""
        ...


class Rows(NamedTuple):
    """Rows of several arrays (V, N, ...), one below the other and never copied as a whole; V views of each row."""

    parts: tuple[NDArray[np.generic], ...]

    def take(self, positions: NDArray[np.int64], views: NDArray[np.int64] | None = None) -> NDArray[np.generic]:
        """(n, ...) the rows at positions, each in its view, or all in the first."""
        views = np.zeros_like(positions) if views is None else views
        if len(self.parts) == 1:
            return self.parts[0][views, positions]
        found = np.empty((len(positions), *self.parts[0].shape[2:]), dtype=self.parts[0].dtype)
        start = 0
        for part in self.parts:
            is_here = (positions >= start) & (positions < start + part.shape[1])
            found[is_here] = part[views[is_here], positions[is_here] - start]
            start += part.shape[1]
        return found


class PixelInputs(NamedTuple):
    """Pictures, (1, N, H, W, 3) uint8 each, of train and tune, and the (N, K) float32 targets of train."""

    train: Rows
    targets: NDArray[np.float32]
    tuning: Rows
    augment: AugmentSettings

    @property
    def tune_rows(self) -> int:
        """Number of tune rows."""
        return int(self.tuning.parts[0].shape[1])

    def with_tune(self, targets: NDArray[np.float32]) -> PixelInputs:
        """The same with the tune rows below those of train; `targets` are of both."""
        return self._replace(train=Rows(self.train.parts + self.tuning.parts), targets=targets)

    def draw(
        self, positions: NDArray[np.int64], random: torch.Generator, device: torch.device
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Varied pictures and their targets."""
        batch = Batch(self.plain(positions, device), torch.from_numpy(self.targets[positions]).to(device))
        varied = augmented(batch, self.augment, random)
        return varied.pixels, varied.targets

    def plain(self, positions: NDArray[np.int64], device: torch.device) -> torch.Tensor:
        """Pictures of train as they are."""
        return _on(self.train.take(positions), device)

    def tune(self, positions: NDArray[np.int64], device: torch.device) -> torch.Tensor:
        """Pictures of tune as they are."""
        return _on(self.tuning.take(positions), device)


class MapInputs(NamedTuple):
    """Maps of frozen stages, (V, N, C, h, w) float16 with one view a symmetry, the first the picture as it is.

    Attributes:
        tuning: has all views where training may go on with the tune rows, else the first.
    """

    train: Rows
    targets: NDArray[np.float32]
    tuning: Rows

    @property
    def tune_rows(self) -> int:
        """Number of tune rows."""
        return int(self.tuning.parts[0].shape[1])

    def with_tune(self, targets: NDArray[np.float32]) -> MapInputs:
        """The same with the tune rows below those of train; `targets` are of both."""
        return self._replace(train=Rows(self.train.parts + self.tuning.parts), targets=targets)

    def draw(
        self, positions: NDArray[np.int64], random: torch.Generator, device: torch.device
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """A random view of each row, and their targets."""
        views = torch.randint(len(self.train.parts[0]), (len(positions),), generator=random).numpy()
        targets = torch.from_numpy(self.targets[positions]).to(device)
        return _on(self.train.take(positions, views), device), targets

    def plain(self, positions: NDArray[np.int64], device: torch.device) -> torch.Tensor:
        """Maps of train rows as they are."""
        return _on(self.train.take(positions), device)

    def tune(self, positions: NDArray[np.int64], device: torch.device) -> torch.Tensor:
        """Maps of tune rows as they are."""
        return _on(self.tuning.take(positions), device)


def _on(rows: NDArray[np.generic], device: torch.device) -> torch.Tensor:
    # Fancy indexing has made a copy, so the tensor owns what it points at.
    return torch.from_numpy(np.ascontiguousarray(rows)).to(device, non_blocking=True)
