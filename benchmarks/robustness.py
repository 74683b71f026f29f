"""What AugMix and fast adversarial training gain and cost: digits, spoiled and attacked; solar cells by the default."""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from scipy import stats

from benchmarks.cells import divide_cells, write_cells
from benchmarks.chain import train_and_judge
from benchmarks.digits import write_digits
from benchmarks.learning import FROZEN
from benchmarks.result_file import read_figures, write_result
from models.artifacts.judging_records import RobustnessReport
from models.artifacts.workspace import Workspace
from models.judging.corruptions import CORRUPTIONS, SEVERITIES
from models.judging.robustness import RobustnessSettings
from models.learning.checkpoint import encode_checkpoint
from models.learning.examine_attacks import Model, examine_with_attacks
from models.learning.training_settings import TrainingSettings

SHARED: dict[str, Any] = {
    "network": "convnet",
    "size_px": 16,
    "objective": "accuracy",
    "refit_on_tune": False,
    "time_budget_minutes": 60,
}
FIT: dict[str, Any] = {"epochs": 20, "batch_rows": 32, "learning_rate": 3e-3}
WAYS: dict[str, dict[str, Any]] = {
    "plain": {"augment": {"symmetries": "none", "policy": "none"}, "fit": FIT},
    "light": {"augment": {"symmetries": "none", "policy": "light"}, "fit": FIT},
    "augmix": {"augment": {"symmetries": "none", "policy": "augmix"}, "fit": FIT},
    "trivial": {"augment": {"symmetries": "none", "policy": "trivial"}, "fit": FIT},
    "adversarial": {"augment": {"symmetries": "none", "policy": "none"}, "fit": {**FIT, "adversarial_eps": 8}},
    "adversarial_light": {"augment": {"symmetries": "none", "policy": "light"}, "fit": {**FIT, "adversarial_eps": 8}},
}
# What a way is compared with, division by division.
BESIDE = ("plain", "light")
PICTURES, ATTACKS = 200, (8.0, 16.0)
Numbers = dict[str, float]


class Job(NamedTuple):
    """A training on a folder whose table divides it, and the attacks that it then meets."""

    folder: Path
    workspace: Workspace
    settings: TrainingSettings
    attacks: tuple[float, ...]


def digits(seeds: Iterable[int]) -> dict[str, Any]:
    """All digits, by way of training; what is compared had the same divisions and seeds."""
    found: dict[str, list[Numbers]] = {way: [] for way in WAYS}
    for seed in seeds:
        for way, values in WAYS.items():
            with tempfile.TemporaryDirectory() as place:
                folder = write_digits(Path(place) / "digits", 1, seed)
                settings = TrainingSettings.model_validate({**SHARED, **values, "seed": seed})
                job = Job(folder, Workspace.open(Path(place) / "workspace"), settings, ATTACKS)
                found[way].append(_judged(job))
            _say(f"{seed} {way} {found[way][-1]}")
    return {way: {**summary(rows), "gains": gains(found, way)} for way, rows in found.items()}


def cells(seeds: Iterable[int]) -> dict[str, Any]:
    """Solar cells of four classes: frozen features and a head, the default."""
    found: list[Numbers] = []
    with tempfile.TemporaryDirectory() as place:
        pictures, workspace = write_cells(Path(place) / "cells"), Workspace.open(Path(place) / "workspace")
        for seed in seeds:
            divide_cells(pictures, "four_classes", seed)
            settings = TrainingSettings.model_validate({**FROZEN, "seed": seed})
            found.append(_judged(Job(pictures.folder, workspace, settings, ())))
            _say(f"{seed} frozen {found[-1]}")
    return {"frozen": summary(found)}


def numbers_of(report: RobustnessReport) -> Numbers:
    """What the tables show of one report: balanced accuracies, least recalls and flips, means over ways of spoiling.

    `worst_class` is the mean of each way's least recall of a class, `way_X` that of corruption X over its severities.
    """
    scores = report.corruptions
    numbers = {"clean": report.clean_balanced_accuracy, "spoiled": report.mean_balanced_accuracy}
    for severity in SEVERITIES:
        numbers[f"severity_{severity}"] = _mean(s.balanced_accuracy for s in scores if s.severity == severity)
    for name in CORRUPTIONS:
        numbers[f"way_{name}"] = _mean(s.balanced_accuracy for s in scores if s.name == name)
    numbers["worst_class"] = _mean(score.worst_recall for score in scores)
    numbers["flip_rate"] = _mean(score.flip_rate for score in scores)
    return {**numbers, **{f"{s.name}_{s.severity:g}": s.balanced_accuracy for s in report.attacks}}


def summary(divisions: list[Numbers]) -> dict[str, Any]:
    """Each number over divisions, and the corruption with the least mean."""
    spreads = {name: _spread([numbers[name] for numbers in divisions]) for name in divisions[0]}
    ways = {name: spreads.pop(f"way_{name}") for name in CORRUPTIONS}
    worst = min(ways, key=lambda name: ways[name]["mean"])
    return {"divisions": len(divisions), **spreads, "corruptions": ways, "worst_corruption": worst}


def gains(found: dict[str, list[Numbers]], way: str) -> dict[str, Any]:
    """Differences to other ways of the same divisions, of pictures as they are and spoiled."""
    return {
        other: {
            name: _spread([own[name] - theirs[name] for own, theirs in zip(found[way], found[other], strict=True)])
            for name in ("clean", "spoiled")
        }
        for other in BESIDE
        if other != way
    }


def _judged(job: Job) -> Numbers:
    """Numbers of one training; `minutes` are those of training, export and scorecard.

    `gate_error` is how far what a gate sees, on as few pictures as it gets by default, lies off that on all of these.
    """
    started = time.monotonic()
    judged = train_and_judge(job.folder, job.workspace, job.settings)
    minutes = (time.monotonic() - started) / 60
    model, seed = Model(judged.onnx_bytes, encode_checkpoint(judged.checkpoint)), job.settings.seed
    settings = RobustnessSettings(pictures=PICTURES, attacks=job.attacks)
    report = examine_with_attacks(job.folder, judged.split, model, settings, seed)
    # Another seed: the same would take its pictures from those above.
    short = examine_with_attacks(job.folder, judged.split, model, RobustnessSettings(), seed + 1000)
    if report is None or short is None:
        raise ValueError("robustness was examined")
    return {"minutes": minutes, **numbers_of(report), "gate_error": abs(_loss(short) - _loss(report))}


def _loss(report: RobustnessReport) -> float:
    return report.clean_balanced_accuracy - report.mean_balanced_accuracy


def _spread(values: list[float]) -> dict[str, Any]:
    """Mean and standard deviation over divisions, and the 95 % interval of the mean by Student's t."""
    mean, sd = statistics.mean(values), statistics.stdev(values)
    half = float(stats.t.ppf(0.975, len(values) - 1)) * sd / len(values) ** 0.5
    numbers = {"mean": mean, "sd": sd, "low": mean - half, "high": mean + half}
    return {**{k: round(v, 4) for k, v in numbers.items()}, "values": [round(v, 4) for v in values]}


def _mean(values: Iterable[float]) -> float:
    return statistics.mean(values)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


PARTS: dict[str, Callable[[range], dict[str, Any]]] = {
    "digits": digits,
    # Their features are computed once, and spoiled anew for each division.
    "cells": lambda seeds: cells(seeds[:3]),
}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--repeats", type=int, choices=range(2, 21), default=5)
    chosen = parser.parse_args()
    figures = read_figures("robustness")
    for part in chosen.parts:
        figures[part] = PARTS[part](range(chosen.repeats))
        _say(f"{write_result('robustness', chosen.repeats, figures)} {part}")
