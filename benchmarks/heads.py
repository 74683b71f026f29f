"""Which features, which head, which rule of choice: on the demo's pictures without their test split.

The demo's test split is never read here, so what was decided by these figures was not tuned on it. Each repeat divides
the rest 60/15/25; settings are chosen on the 15 %, the head is fitted once more on 75 %, scores are of the 25 %.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import timm
import torch
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from torch import nn

from benchmarks.result_file import write_result
from models.artifacts.records import Trial
from models.data.elpv import write_elpv_folders
from models.data.listing import listing_table
from models.data.preprocess import Preprocess
from models.data.scan import ScanSettings, scan_folder
from models.data.split import TEST, SplitSettings, assign_splits
from models.learning.correction import EXPECTED_STRENGTHS, STRENGTHS, choose_trial, log_offset
from models.learning.embed import FeatureStore
from models.learning.head import HeadData, fit_head, head_logits
from models.learning.losses import plain_loss
from models.learning.metrics import confusion_counts, objective_value, resampled_objectives
from models.learning.training_settings import HeadSettings
from models.networks.lite0 import Lite0Stages, read_weights
from models.serving.export import trunk_onnx

SIZE_PX = 224
LOGISTIC_C = (0.001, 0.003, 0.01, 0.03)
# Draw weights n^-exponent that are tried with each kind of features; the full menu only with those that ship.
WEIGHTS = {
    "last_stage_mean": (("sqrt", 0.5),),
    "stages_3_to_6_mean_max": (("natural", 0.0), ("sqrt", 0.5)),
}
Floats = NDArray[np.float64]


class LastStage(nn.Module):
    """The usual features: the mean over the network's last map."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        """(N, 1280) embeddings."""
        maps: torch.Tensor = self.network.forward_features(picture * 2 - 1)  # type: ignore[operator]
        return maps.mean((2, 3))


class Rows(NamedTuple):
    """Features as is and mirrored, and class positions, of the rows outside the test split."""

    as_is: NDArray[np.float32]
    mirrored: NDArray[np.float32]
    class_index: NDArray[np.int64]


class Case(NamedTuple):
    """Positions of one division."""

    train: NDArray[np.int64]
    tune: NDArray[np.int64]
    held: NDArray[np.int64]


def load_rows(folder: Path) -> dict[str, Rows]:
    """Rows by name of the features."""
    labelled = write_elpv_folders(folder).labelled
    manifest = scan_folder(labelled, listing_table(labelled), ScanSettings())
    split = [row for row in assign_splits(manifest, SplitSettings()).to_pylist() if row["split"] != TEST]
    paths, ids = [labelled / row["path"] for row in split], [row["image_id"] for row in split]
    classes = sorted({row["label"] for row in split})
    index = np.array([classes.index(row["label"]) for row in split], dtype=np.int64)
    found = {}
    for name, build in (("last_stage_mean", LastStage), ("stages_3_to_6_mean_max", Lite0Stages)):
        network = timm.create_model("tf_efficientnet_lite0", pretrained=False)
        network.load_state_dict(dict(zip(network.state_dict(), read_weights().values(), strict=True)))
        preprocess = Preprocess(width_px=SIZE_PX, height_px=SIZE_PX)
        store = FeatureStore(folder / "features", trunk_onnx(build(network).eval(), SIZE_PX), preprocess)
        found[name] = Rows(store.features(paths, ids), store.features(paths, ids, "mirrored"), index)
    return found


def divide(class_index: NDArray[np.int64], seed: int) -> Case:
    """One stratified 60/15/25 division."""
    rest, held = train_test_split(np.arange(len(class_index)), test_size=0.25, random_state=seed, stratify=class_index)
    train, tune = train_test_split(rest, test_size=0.2, random_state=seed, stratify=class_index[rest])
    return Case(train, tune, held)


def logistic_scores(rows: Rows, case: Case) -> dict[str, float]:
    """Macro-F1 of a logistic head: without correction, and with strength and C chosen on tune."""

    def fit(positions: NDArray[np.int64], c: float | None) -> Any:
        mean, spread = rows.as_is[positions].mean(0), rows.as_is[positions].std(0) + 1e-6
        head = LogisticRegression(C=c, max_iter=300).fit(
            (rows.as_is[positions] - mean) / spread, rows.class_index[positions]
        )
        return lambda wanted: head.decision_function((rows.as_is[wanted] - mean) / spread)

    prior = np.bincount(rows.class_index[case.train]) / len(case.train)
    trials, predicted = _trials({c: fit(case.train, c)(case.tune) for c in LOGISTIC_C}, rows, case, prior)
    plain = _steady([t for t in trials if t.correction_strength == 0])
    chosen = _anchored(trials, predicted, rows, case)
    both = np.concatenate([case.train, case.tune])
    return {
        "logistic_plain": _held_score(fit(both, plain.regularisation)(case.held), rows, case, prior, plain),
        "logistic_corrected": _held_score(fit(both, chosen.regularisation)(case.held), rows, case, prior, chosen),
    }


def averaged_scores(rows: Rows, case: Case, exponent: float) -> dict[str, float]:
    """Macro-F1 of the shipped head with draw weights n^-exponent, by two rules of choice and uncorrected."""
    settings = HeadSettings()
    counts = np.bincount(rows.class_index[case.train]).astype(np.float64)
    class_weight = counts**-exponent
    class_weight /= class_weight[rows.class_index[case.train]].mean()
    prior = counts * class_weight / (counts * class_weight).sum()

    def fit(positions: NDArray[np.int64], decay: float) -> Any:
        index = rows.class_index[positions]
        features = np.concatenate([rows.as_is[positions], rows.mirrored[positions]])
        data = HeadData(
            features, np.tile(np.eye(len(counts), dtype=np.float32)[index], (2, 1)), np.tile(class_weight[index], 2)
        )
        return fit_head(data, settings, plain_loss(len(counts)), decay, seed=0)

    tune = rows.as_is[case.tune]
    logits = {decay: head_logits(tune, fit(case.train, decay)) for decay in settings.weight_decays}
    trials, predicted = _trials(logits, rows, case, prior)
    both = np.concatenate([case.train, case.tune])
    heads = {decay: head_logits(rows.as_is[case.held], fit(both, decay)) for decay in settings.weight_decays}
    lucky = max(trials, key=lambda t: t.objective)
    plain = _steady([t for t in trials if t.correction_strength == 0])
    rules = {
        "best_single_trial": lucky,
        "best_on_average": _steady(trials),
        "nearest_to_theory": _anchored(trials, predicted, rows, case),
        "uncorrected": plain,
    }
    return {
        name: _held_score(heads[trial.regularisation or 0.0], rows, case, prior, trial) for name, trial in rules.items()
    }


def _trials(
    logits: dict[float, Floats], rows: Rows, case: Case, prior: Floats
) -> tuple[list[Trial], NDArray[np.int64]]:
    """One trial for every regularisation and strength, and the (T, N) classes that each gives to tune."""
    true, trials, predicted = rows.class_index[case.tune], [], []
    for regularisation, own in logits.items():
        for strength in STRENGTHS:
            predicted.append((own + log_offset(prior, strength)).argmax(1))
            value = float(objective_value(confusion_counts(true, predicted[-1], len(prior)), "macro_f1"))
            trials.append(Trial(regularisation=regularisation, correction_strength=strength, objective=value))
    return trials, np.array(predicted)


def _steady(trials: list[Trial]) -> Trial:
    """The rule without resampling: the strength that is best on average, and its best regularisation."""
    return trials[choose_trial(trials, np.zeros((len(trials), 0)), 0.0)]


def _anchored(trials: list[Trial], predicted: NDArray[np.int64], rows: Rows, case: Case) -> Trial:
    """The rule that ships."""
    count, rng = int(rows.class_index.max()) + 1, np.random.default_rng(0)
    resampled = resampled_objectives(rows.class_index[case.tune], predicted, count, "macro_f1", rng)
    return trials[choose_trial(trials, resampled, EXPECTED_STRENGTHS["macro_f1"])]


def _held_score(logits: Floats, rows: Rows, case: Case, prior: Floats, trial: Trial) -> float:
    predicted = (logits + log_offset(prior, trial.correction_strength)).argmax(1)
    confusion = confusion_counts(rows.class_index[case.held], predicted, len(prior))
    return float(objective_value(confusion, "macro_f1"))


def measure(repeats: int) -> dict[str, Any]:
    """Mean and standard deviation of macro-F1 of every way."""
    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        features = load_rows(Path(folder))
    for seed in range(repeats):
        for name, rows in features.items():
            case = divide(rows.class_index, seed)
            scores = {f"{name}/{k}": v for k, v in logistic_scores(rows, case).items()}
            for weights, exponent in WEIGHTS[name]:
                ours = averaged_scores(rows, case, exponent)
                scores |= {f"{name}/averaged_{weights}_{k}": v for k, v in ours.items()}
            for key, value in scores.items():
                found.setdefault(key, []).append(value)
    return {
        key: {"mean": round(statistics.mean(values), 4), "sd": round(statistics.stdev(values), 4)}
        for key, values in found.items()
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    warnings.simplefilter("ignore", ConvergenceWarning)
    sys.stdout.write(f"{write_result('heads', repeats, measure(repeats))}\n")
