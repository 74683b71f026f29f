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


class PixelInputs(NamedTuple):
    """Pictures (N, H, W, 3) uint8 of train and tune, and the (N, K) float32 targets of train."""

    train_pixels: NDArray[np.uint8]
    targets: NDArray[np.float32]
    tune_pixels: NDArray[np.uint8]
    augment: AugmentSettings

    @property
    def tune_rows(self) -> int:
        """Number of tune rows."""
        return len(self.tune_pixels)

    def draw(
        self, positions: NDArray[np.int64], random: torch.Generator, device: torch.device
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Varied pictures and their targets."""
        batch = Batch(self.plain(positions, device), torch.from_numpy(self.targets[positions]).to(device))
        varied = augmented(batch, self.augment, random)
        return varied.pixels, varied.targets

    def plain(self, positions: NDArray[np.int64], device: torch.device) -> torch.Tensor:
        """Pictures of train as they are."""
        return _on(self.train_pixels[positions], device)

    def tune(self, positions: NDArray[np.int64], device: torch.device) -> torch.Tensor:
        """Pictures of tune as they are."""
        return _on(self.tune_pixels[positions], device)


class MapInputs(NamedTuple):
    """Maps of frozen stages, (V, N, C, h, w) float16 with one view a symmetry, the first the picture as it is."""

    train_maps: NDArray[np.float16]
    targets: NDArray[np.float32]
    tune_maps: NDArray[np.float16]

    @property
    def tune_rows(self) -> int:
        """Number of tune rows."""
        return int(self.tune_maps.shape[1])

    def draw(
        self, positions: NDArray[np.int64], random: torch.Generator, device: torch.device
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """A random view of each row, and their targets."""
        views = torch.randint(len(self.train_maps), (len(positions),), generator=random).numpy()
        return _on(self.train_maps[views, positions], device), torch.from_numpy(self.targets[positions]).to(device)

    def plain(self, positions: NDArray[np.int64], device: torch.device) -> torch.Tensor:
        """Maps of train rows as they are."""
        return _on(self.train_maps[0, positions], device)

    def tune(self, positions: NDArray[np.int64], device: torch.device) -> torch.Tensor:
        """Maps of tune rows as they are."""
        return _on(self.tune_maps[0, positions], device)


def _on(rows: NDArray[np.generic], device: torch.device) -> torch.Tensor:
    # Fancy indexing has made a copy, so the tensor owns what it points at.
    return torch.from_numpy(np.ascontiguousarray(rows)).to(device, non_blocking=True)
