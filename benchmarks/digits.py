"""scikit-learn's digits as picture folders: whole, or with a long tail; and what a training on them gives."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits

from models.artifacts.records import Scorecard
from models.artifacts.workspace import Workspace
from models.data.listing import listing_table
from models.data.resample import ResamplingSettings, plan_resampling, resampling_for
from models.data.scan import ScanSettings, scan_folder
from models.data.split import SplitSettings, assign_splits
from models.learning.checkpoint import encode_checkpoint
from models.learning.evaluate import evaluate_split, make_scorecard
from models.learning.export_checkpoint import export_checkpoint
from models.learning.fit import Places, Subject
from models.learning.imbalance import plan_imbalance
from models.learning.learn import learn
from models.learning.training_settings import TrainingSettings
from models.serving.picture_scorer import card_of

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


def train_and_judge(folder: Path, workspace: Workspace, settings: TrainingSettings) -> tuple[Scorecard, bytes]:
    """Scorecard on the test rows of a folder whose table divides it, and the ONNX file, by the chain itself."""
    manifest = scan_folder(folder, listing_table(folder), ScanSettings(near_duplicate_bits=-1))
    split = assign_splits(manifest, SplitSettings())
    plan = plan_resampling(split, resampling_for(plan_imbalance(settings.imbalance).draws, ResamplingSettings()))
    places = Places(workspace.features_dir, workspace.states_dir)
    checkpoint = learn(folder, split, plan, settings, Subject("digits", "0" * 64), places)
    data = export_checkpoint(encode_checkpoint(checkpoint), folder, split, workspace.features_dir)
    return make_scorecard(evaluate_split(folder, split, data), card_of(data)), data


def _write(folder: Path, pixels: NDArray[np.float64], positions: NDArray[np.int64]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for position in positions:
        picture = Image.fromarray((pixels[position].reshape(8, 8) * 15.9375).astype(np.uint8))
        picture.resize((32, 32), Image.Resampling.BICUBIC).save(folder / f"{position:04}.png")
