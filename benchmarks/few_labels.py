"""Digits of which one in ten has a label: what pictures without labels give, by pretraining and by pseudo labels.

Of every class 40 % judge and are seen by nothing else. Of the rest a tenth has labels (a fifth of them for tune), and
what has none is a folder of its own. All ways are the product's own, each with the settings that a user would type.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

from benchmarks.chain import train_and_judge
from benchmarks.result_file import write_result
from models.artifacts.workspace import Workspace
from models.data.scan import ScanSettings
from models.learning.pseudo_settings import PseudoSettings
from models.learning.training_settings import AugmentSettings, FitSettings, TrainingSettings
from models.pretraining.pretrain_folder import PretrainJob, pretrain_folder
from models.pretraining.settings import PretrainSettings

LABELLED_SHARE, TEST_SHARE, TUNE_SHARE = 0.1, 0.4, 0.2
SIDE_PX, EPOCHS = 32, 60
STILL = AugmentSettings(symmetries="none")


def write_few(root: Path, seed: int) -> tuple[Path, Path]:
    """A labelled folder with its division, and a folder of all pictures that are not for judging."""
    pixels, label = load_digits(return_X_y=True)
    rng, rows = np.random.default_rng(seed), []
    labelled, pool = root / "labelled", root / "pool"
    for folder in (labelled, pool):
        folder.mkdir(parents=True)
    for k in range(10):
        order = rng.permutation(np.flatnonzero(label == k))
        cut = int(len(order) * TEST_SHARE)
        known = order[cut : cut + round((len(order) - cut) * LABELLED_SHARE)]
        tuned = max(round(len(known) * TUNE_SHARE), 1)
        for split, part in (("test", order[:cut]), ("tune", known[:tuned]), ("train", known[tuned:])):
            rows += [(f"{position:04}.png", str(k), split) for position in part]
        for folder, part in ((labelled, np.concatenate([order[:cut], known])), (pool, order[cut:])):
            for position in part:
                picture = Image.fromarray((pixels[position].reshape(8, 8) * 15.9375).astype(np.uint8))
                picture.resize((SIDE_PX, SIDE_PX), Image.Resampling.BICUBIC).save(folder / f"{position:04}.png")
    with (labelled / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("path", "label", "split"), *rows])
    return labelled, pool


def ways(pool: Path, workspace: Workspace, seed: int) -> dict[str, TrainingSettings]:
    """Settings of every way, once what it needs is learned."""
    base = TrainingSettings(
        network="convnet",
        size_px=SIDE_PX,
        channels=1,
        augment=STILL,
        objective="accuracy",
        time_budget_minutes=30,
        seed=seed,
        fit=FitSettings(epochs=60, patience=60, mixed_precision="off"),
    )
    found = {
        "pixels": base.model_copy(update={"network": "pixels", "size_px": 8, "channels": 3, "learner": "frozen"}),
        "from_scratch": base.model_copy(update={"learner": "scratch"}),
        "pseudo_labels": base.model_copy(update={"learner": "scratch", "pseudo": PseudoSettings(folder=str(pool))}),
    }
    for method, learner in (("vicreg", "fine_tune"), ("patches", "frozen")):
        settings = PretrainSettings(
            method=method,
            channels=1,
            size_px=SIDE_PX,
            epochs=EPOCHS,
            judge_every=EPOCHS,
            time_budget_minutes=30,
            augment=AugmentSettings(symmetries="none", policy="trivial"),
            seed=seed,
        )
        job = PretrainJob(pool, f"{method}-{seed}", ScanSettings(near_duplicate_bits=-1), settings)
        report = pretrain_folder(job, workspace, lambda *_: None)
        update = {"network": report.network, "weights": report.weights, "learner": learner}
        found[method] = base.model_copy(update=update)
    return found


def measure(root: Path, seeds: int) -> dict[str, Any]:
    """Accuracy on held-out digits of every way, and how often pseudo labels were taken."""
    values: dict[str, list[float]] = {}
    taken: dict[str, list[bool]] = {}
    for seed in range(seeds):
        place = root / str(seed)
        labelled, pool = write_few(place, seed)
        workspace = Workspace.open(place / "workspace")
        for name, settings in ways(pool, workspace, seed).items():
            judged = train_and_judge(labelled, workspace, settings)
            values.setdefault(name, []).append(judged.scorecard.served.accuracy.value)
            if judged.checkpoint.card.pseudo is not None:
                taken.setdefault(name, []).append(judged.checkpoint.card.pseudo.is_taken)
            sys.stderr.write(f"{seed} {name} {values[name][-1]:.4f}\n")
    base = np.array(values["from_scratch"])
    return {
        "seeds": seeds,
        "labels": "10 %: about 86 pictures to train and 21 to tune",
        "accuracy": {
            name: {
                "mean": round(statistics.mean(found), 4),
                "sd": round(statistics.stdev(found), 4),
                "gain_over_from_scratch": round(float((np.array(found) - base).mean()), 4),
                "sd_of_gain": round(float((np.array(found) - base).std(ddof=1)), 4),
                "better_in": int((np.array(found) > base).sum()),
            }
            for name, found in values.items()
        },
        "pseudo_labels_taken": {name: sum(found) for name, found in taken.items()},
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    count = parser.parse_args().seeds
    with tempfile.TemporaryDirectory() as folder:
        sys.stdout.write(f"{write_result('few_labels', count, measure(Path(folder), count))}\n")
