"""Sets of classes, calibration and foreign pictures on held-out pictures: solar cells, and digits with a long tail."""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
from onnx import numpy_helper
from PIL import Image

from benchmarks.cells import divide_cells, write_cells
from benchmarks.chain import Judged, train_and_judge
from benchmarks.digits import write_digits
from benchmarks.learning import DIGITS, FROZEN, LONG_TAIL_RATIO
from benchmarks.result_file import read_figures, write_result
from models.artifacts.records import Calibration
from models.artifacts.workspace import Workspace
from models.data.limits import NO_LIMITS
from models.judging.answer_settings import AnswerSettings
from models.judging.conformal import least_rows, prediction_sets
from models.learning.evaluate import evaluate_split, evaluation_arrays
from models.learning.fit_answers import Pictures, fit_answers
from models.learning.metrics import calibration_error, reliability_bins
from models.learning.training_settings import TrainingSettings
from models.serving.export import served_layers
from models.serving.picture_scorer import PictureScorer, card_of

ANSWERS = AnswerSettings(set_coverage=0.9)
_NOISE_PICTURES = 60


class Division(NamedTuple):
    """What one division of the pictures gave.

    Attributes:
        coverage: share of the test pictures of each class whose set holds it, by class.
        basis: what each threshold stands on, by class.
        rows: calibration pictures of each class, by class.
    """

    coverage: dict[str, float]
    basis: dict[str, str]
    rows: dict[str, int]
    set_size: float
    calibration_error: float
    calibration_error_before: float
    has_class_scale: bool
    false_alarms: float
    noise_found: float


def judge_division(folder: Path, workspace: Workspace, settings: TrainingSettings) -> Division:
    """A model trained on a divided folder, and its answers to the test pictures."""
    judged = train_and_judge(folder, workspace, settings)
    pictures = Pictures(folder, judged.split, workspace.features_dir)
    served = fit_answers(judged.onnx_bytes, judged.checkpoint.calibration, pictures, ANSWERS)
    card = card_of(served)
    true_index, probabilities = evaluation_arrays(evaluate_split(folder, judged.split, served), card.classes)
    rules = card.answers
    if rules is None:
        raise ValueError("answers were fitted")
    sets = prediction_sets(probabilities, rules.thresholds)
    counts = judged.checkpoint.calibration.targets.sum(0).astype(int).tolist()
    return Division(
        coverage={name: float(sets[true_index == k, k].mean()) for k, name in enumerate(card.classes)},
        basis={threshold.label: threshold.basis for threshold in rules.thresholds},
        rows=dict(zip(card.classes, counts, strict=True)),
        set_size=float(sets.sum(1).mean()),
        calibration_error=calibration_error(reliability_bins(true_index, probabilities)),
        calibration_error_before=_uncalibrated(folder, judged),
        has_class_scale=bool(card.calibration.class_scale),
        false_alarms=_share_foreign(served, [folder / path for path in _test_paths(judged)]),
        noise_found=_share_foreign(served, _noise(folder.parent / "noise", settings.seed)),
    )


def _uncalibrated(folder: Path, judged: Judged) -> float:
    """Calibration error of what is corrected for the prior, and not calibrated: the same file with another head."""
    checkpoint, model = judged.checkpoint, onnx.load_from_string(judged.onnx_bytes)
    card = checkpoint.card.model_copy(update={"calibration": Calibration()})
    layers = {f"head_{k}": layer for k, layer in enumerate(served_layers(checkpoint.layers, card))}
    values = {f"{name}_weight": weight for name, (weight, _) in layers.items()}
    values |= {f"{name}_bias": bias for name, (_, bias) in layers.items()}
    for tensor in model.graph.initializer:
        if tensor.name in values:
            tensor.CopyFrom(numpy_helper.from_array(values[tensor.name], tensor.name))
    rows = evaluate_split(folder, judged.split, model.SerializeToString())
    return calibration_error(reliability_bins(*evaluation_arrays(rows, card.classes)))


def _test_paths(judged: Judged) -> list[str]:
    rows = judged.split.to_pylist()
    return [row["path"] for row in rows if row["split"] == "test"]


def _noise(folder: Path, seed: int) -> list[Path]:
    """Pictures of noise of another mean and grain each."""
    folder.mkdir(exist_ok=True)
    rng, paths = np.random.default_rng(seed), []
    for k in range(_NOISE_PICTURES):
        grain = int(rng.choice([1, 4, 16]))
        small = rng.normal(rng.uniform(40, 200), 60, (-(-96 // grain), -(-96 // grain))).clip(0, 255)
        paths.append(folder / f"{k}.png")
        Image.fromarray(np.kron(small, np.ones((grain, grain))).astype(np.uint8)).save(paths[-1])
    return paths


def _share_foreign(onnx_bytes: bytes, paths: list[Path]) -> float:
    scorer = PictureScorer(onnx_bytes, NO_LIMITS)
    found = [scorer.score(path).answers for path in paths]
    return float(np.mean([answers is not None and (answers.ood_score or 0.0) > 1 for answers in found]))


def summary(divisions: list[Division]) -> dict[str, Any]:
    """Means over divisions; coverage of each class with its standard deviation, by what its threshold stands on."""
    classes: dict[str, Any] = {}
    for name in divisions[0].coverage:
        by_basis: dict[str, list[float]] = defaultdict(list)
        for division in divisions:
            by_basis[division.basis[name]].append(division.coverage[name])
        classes[name] = {
            "calibration_rows": round(statistics.mean(d.rows[name] for d in divisions), 1),
            **{basis: _mean(values) for basis, values in by_basis.items()},
        }
    numbers = ("set_size", "calibration_error", "calibration_error_before", "false_alarms", "noise_found")
    return {
        "divisions": len(divisions),
        "target": ANSWERS.set_coverage,
        "least_rows": least_rows(ANSWERS.set_coverage),
        "classes": classes,
        "with_a_scale_a_class": sum(division.has_class_scale for division in divisions),
        **{name: _mean([getattr(division, name) for division in divisions]) for name in numbers},
    }


def _mean(values: list[float]) -> dict[str, float | int | None]:
    sd = round(statistics.stdev(values), 4) if len(values) > 1 else None
    return {"mean": round(statistics.mean(values), 4), "sd": sd, "largest": round(max(values), 4), "n": len(values)}


def digits(seeds: Iterable[int], *, refit: bool) -> dict[str, Any]:
    """Digits with a long tail, judged on a balanced test split."""
    found = []
    for seed in seeds:
        with tempfile.TemporaryDirectory() as place:
            folder = write_digits(Path(place) / "digits", LONG_TAIL_RATIO, seed)
            settings = TrainingSettings.model_validate({**DIGITS, "seed": seed, "refit_on_tune": refit})
            found.append(judge_division(folder, Workspace.open(Path(place) / "workspace"), settings))
    return summary(found)


def cells(seeds: Iterable[int], *, refit: bool) -> dict[str, Any]:
    """Solar cells of four classes, frozen features."""
    found = []
    with tempfile.TemporaryDirectory() as place:
        pictures, workspace = write_cells(Path(place) / "cells"), Workspace.open(Path(place) / "workspace")
        for seed in seeds:
            divide_cells(pictures, "four_classes", seed)
            settings = TrainingSettings.model_validate({**FROZEN, "seed": seed, "refit_on_tune": refit})
            found.append(judge_division(pictures.folder, workspace, settings))
    return summary(found)


PARTS: dict[str, Callable[[range], dict[str, Any]]] = {
    "digits": lambda seeds: digits(seeds, refit=True),
    "digits_without_refit": lambda seeds: digits(seeds, refit=False),
    "cells": lambda seeds: cells(seeds, refit=True),
    "cells_without_refit": lambda seeds: cells(seeds, refit=False),
}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--repeats", type=int, default=5)
    chosen = parser.parse_args()
    figures = read_figures("certainty")
    for part in chosen.parts:
        figures[part] = PARTS[part](range(chosen.repeats))
        sys.stdout.write(f"{write_result('certainty', chosen.repeats, figures)} {part}\n")
        sys.stdout.flush()
