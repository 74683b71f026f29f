"""How many labels the review queue needs for what labels by chance give: digits, and solar cells by frozen features.

Both begin with the same pictures by chance. Every round asks about as many more; a linear model on the features learns
from all labels so far and is judged on pictures that nobody is asked about.
"""

from __future__ import annotations

import argparse
import hashlib
import statistics
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import train_test_split

from benchmarks.cells import write_cells
from benchmarks.result_file import write_result
from models.learning.frozen import feature_store
from models.networks.registry import Build, find_network
from models.review.diverse import doubt_of, unsure_and_diverse
from models.review.settings import ReviewSettings

Way = Literal["by_chance", "least_sure", "review_queue"]
WAYS: tuple[Way, ...] = ("by_chance", "least_sure", "review_queue")
_LEAST_DOUBT = 1e-3


class Subject(NamedTuple):
    """What is learned: features (N, D), classes (N,), labels a round and in all, and the strength of the model."""

    features: NDArray[np.float32]
    class_index: NDArray[np.int64]
    step: int
    most: int
    strength: float


def digits() -> Subject:
    """scikit-learn's digits by their pixels; accuracy."""
    pixels, label = load_digits(return_X_y=True)
    return Subject((pixels / 16).astype(np.float32), label.astype(np.int64), 20, 400, 10.0)


def cells(root: Path) -> Subject:
    """ELPV's solar cells, defect probability above 0.5 or not, by the default network's frozen features."""
    found = write_cells(root / "cells")
    paths = [found.folder / name for name in found.names]
    network = find_network("efficientnet_lite0")
    store = feature_store(network, Build(0, network.size_px), root / "features")
    features = store.features(paths, [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths])
    scaled = (features - features.mean(0)) / (features.std(0) + 1e-6)
    return Subject(scaled, (found.probability > 0.5).astype(np.int64), 40, 800, 0.003)


def curve(subject: Subject, way: Way, seed: int) -> Iterator[tuple[int, float]]:
    """(labels, balanced accuracy on held-out pictures) after every round."""
    index = subject.class_index
    pool, held = train_test_split(np.arange(len(index)), test_size=0.4, random_state=seed, stratify=index)
    rng = np.random.default_rng(seed)
    known = rng.permutation(pool)[: subject.step]
    while True:
        model = LogisticRegression(C=subject.strength, max_iter=300).fit(subject.features[known], index[known])
        yield len(known), float(balanced_accuracy_score(index[held], model.predict(subject.features[held])))
        if len(known) >= subject.most:
            return
        rest = np.setdiff1d(pool, known)
        doubt = doubt_of(model.predict_proba(subject.features[rest])) + _LEAST_DOUBT
        if way == "by_chance":
            asked = rng.permutation(len(rest))[: subject.step]
        elif way == "least_sure":
            asked = np.argsort(-doubt)[: subject.step]
        else:
            asked = unsure_and_diverse(doubt, subject.features[rest], subject.step, ReviewSettings().shortlist)
        known = np.concatenate([known, rest[asked]])


def judge(subject: Subject, seeds: int) -> dict[str, Any]:
    """Mean curves, and the share of labels that each way needs for what chance reaches with all of them."""
    curves = {way: np.array([list(curve(subject, way, seed)) for seed in range(seeds)]) for way in WAYS}
    labels = curves["by_chance"][0, :, 0].astype(int).tolist()
    means = {way: found[:, :, 1].mean(0) for way, found in curves.items()}
    figures: dict[str, Any] = {"seeds": seeds, "labels": labels}
    for way in WAYS:
        own = [_needed(labels, curves[way][k, :, 1], curves["by_chance"][k, -1, 1]) for k in range(seeds)]
        figures[way] = {
            "balanced_accuracy": [round(float(value), 4) for value in means[way]],
            "sd_at_the_end": round(float(curves[way][:, -1, 1].std(ddof=1)), 4),
            "share_of_labels_for_what_chance_reaches": {
                str(goal): round(_needed(labels, means[way], float(means["by_chance"][labels.index(goal)])) / goal, 3)
                for goal in (labels[len(labels) // 2 - 1], labels[-1])
            },
            "median_share_a_seed": round(statistics.median(own) / labels[-1], 3),
        }
    return figures


def _needed(labels: list[int], reached: NDArray[np.float64], wanted: float) -> float:
    """The fewest labels with which a curve is where it is wanted; infinite where it never is."""
    there = np.flatnonzero(reached >= wanted)
    return float(labels[int(there[0])]) if len(there) else float("inf")


def measure(root: Path, seeds: int) -> dict[str, Any]:
    """Figures of both subjects."""
    return {"digits": judge(digits(), seeds), "cells": judge(cells(root), seeds)}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    count = parser.parse_args().seeds
    warnings.simplefilter("ignore", ConvergenceWarning)
    with tempfile.TemporaryDirectory() as folder:
        sys.stdout.write(f"{write_result('active_learning', count, measure(Path(folder), count))}\n")
