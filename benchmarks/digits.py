"""scikit-learn's digits as picture folders: whole, or with a long tail."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits

TEST_SHARE, TUNE_SHARE = 0.4, 0.2


def write_digits(folder: Path, imbalance_ratio: float, seed: int) -> Path:
    """A folder of digits with a table of labels and splits: 40 % of every class for test, the rest with a long tail.

    The rest of class k keeps ratio^(-k / 9) of its rows, two at least; a fifth of them is for tuning.
    """
    pixels, label = load_digits(return_X_y=True)
    rng = np.random.default_rng(seed)
    rows: list[tuple[str, str, str]] = []
    for k in range(10):
        order = rng.permutation(np.flatnonzero(label == k))
        cut = int(len(order) * TEST_SHARE)
        kept = order[cut : cut + max(2, int((len(order) - cut) * imbalance_ratio ** (-k / 9)))]
        tuned = max(int(len(kept) * TUNE_SHARE), 1)
        for name, part in (("test", order[:cut]), ("tune", kept[:tuned]), ("train", kept[tuned:])):
            rows += [(f"{position:04}.png", str(k), name) for position in part]
            _write(folder, pixels, part)
    with (folder / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("path", "label", "split"), *rows])
    return folder


def _write(folder: Path, pixels: NDArray[np.float64], positions: NDArray[np.int64]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for position in positions:
        picture = Image.fromarray((pixels[position].reshape(8, 8) * 15.9375).astype(np.uint8))
        picture.resize((32, 32), Image.Resampling.BICUBIC).save(folder / f"{position:04}.png")
