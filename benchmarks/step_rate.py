"""A step of training on kept pictures against the same step on numbers that are there already, interleaved."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from models.learning.classifier import Classifier, random_head
from models.learning.inputs import PixelInputs, Rows
from models.learning.optimiser import make_optimiser
from models.learning.pixel_store import mapped_rows
from models.learning.training_settings import AugmentSettings
from models.networks.registry import Build, UprightTrunk, find_network
from models.parallel import usable_cores

PICTURES, BATCH_ROWS, CLASSES = 2000, 32, 4
ROUNDS, STEPS = 7, 12
Source = Callable[[], tuple[torch.Tensor, torch.Tensor]]


def measure_step_rate(root: Path, network_name: str, size_px: int) -> dict[str, float]:
    """Median steps a second of each way, and their ratios.

    `pictures` are drawn from the memory map and varied; `varied` are random pixels in memory, varied alike; `ready` is
    one batch, over and over.
    """
    torch.set_num_threads(usable_cores())
    network = find_network(network_name, "none")
    trunk = UprightTrunk(network.build(Build(0, size_px)))
    width = trunk(torch.zeros(2, size_px, size_px, 3, dtype=torch.uint8)).shape[1]
    model = Classifier(trunk, random_head(width, CLASSES, 0.0, 0)).to(memory_format=torch.channels_last)
    optimiser = make_optimiser(model, 1e-3, 0.05, 1.0)
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (PICTURES, size_px, size_px, 3), dtype=np.uint8)
    mapped = mapped_rows(root / "pixels.rows", pixels.shape, pixels.dtype, lambda: iter(pixels))
    targets = np.eye(CLASSES, dtype=np.float32)[rng.integers(CLASSES, size=PICTURES)]
    random, device = torch.Generator().manual_seed(0), torch.device("cpu")

    def drawn(rows: NDArray[np.generic]) -> Source:
        inputs = PixelInputs(Rows((rows[None],)), targets, Rows((rows[None],)), AugmentSettings())
        return lambda: inputs.draw(rng.integers(PICTURES, size=BATCH_ROWS), random, device)

    batch = drawn(pixels)()
    sources: dict[str, Source] = {"pictures": drawn(mapped), "varied": drawn(pixels), "ready": lambda: batch}
    taken: dict[str, list[float]] = {name: [] for name in sources}
    for _ in range(ROUNDS + 1):
        for name, source in sources.items():
            started = time.monotonic()
            for _ in range(STEPS):
                images, wanted = source()
                model.train()
                optimiser.zero_grad(set_to_none=True)
                loss = functional.cross_entropy(model(images), wanted)
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
            taken[name].append(STEPS / (time.monotonic() - started))
    rates = {name: statistics.median(values[1:]) for name, values in taken.items()}
    ratios = [one / other for one, other in zip(taken["pictures"][1:], taken["ready"][1:], strict=True)]
    return {
        **{f"{name}_steps_per_s": round(rate, 2) for name, rate in rates.items()},
        "pictures_over_ready": round(statistics.median(ratios), 3),
        "pictures_over_varied": round(rates["pictures"] / rates["varied"], 3),
    }
