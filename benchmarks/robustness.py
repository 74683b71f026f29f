"""What AugMix and fast adversarial training gain and cost: digits, spoiled and attacked, beside plain training."""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.chain import train_and_judge
from benchmarks.digits import write_digits
from benchmarks.result_file import write_result
from models.artifacts.judging_records import RobustnessReport
from models.artifacts.workspace import Workspace
from models.judging.robustness import RobustnessSettings
from models.learning.checkpoint import encode_checkpoint
from models.learning.examine_attacks import Model, examine_with_attacks
from models.learning.training_settings import TrainingSettings

SHARED: dict[str, Any] = {"network": "convnet", "size_px": 16, "objective": "accuracy", "refit_on_tune": False}
FIT: dict[str, Any] = {"epochs": 20, "batch_rows": 32, "learning_rate": 3e-3}
WAYS: dict[str, dict[str, Any]] = {
    "plain": {"augment": {"symmetries": "none", "policy": "none"}, "fit": FIT},
    "light": {"augment": {"symmetries": "none", "policy": "light"}, "fit": FIT},
    "augmix": {"augment": {"symmetries": "none", "policy": "augmix"}, "fit": FIT},
    "adversarial": {"augment": {"symmetries": "none", "policy": "none"}, "fit": {**FIT, "adversarial_eps": 8}},
}
EXAMINED = RobustnessSettings(pictures=300, attacks=(4, 8, 16))


def measure(seeds: Iterable[int]) -> dict[str, Any]:
    """By way of training: means over divisions."""
    found: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    worst: dict[str, list[str]] = {way: [] for way in WAYS}
    for seed in seeds:
        for way, values in WAYS.items():
            report, numbers = _judged(values, seed)
            found[way].append(numbers)
            worst[way].append(report.worst)
            sys.stdout.write(f"{seed} {way} {numbers}\n")
            sys.stdout.flush()
    return {
        way: {
            "worst_corruptions": sorted(set(worst[way])),
            **{name: _spread([numbers[name] for numbers in rows]) for name in rows[0]},
        }
        for way, rows in found.items()
    }


def _judged(values: dict[str, Any], seed: int) -> tuple[RobustnessReport, dict[str, float]]:
    with tempfile.TemporaryDirectory() as place:
        folder = write_digits(Path(place) / "digits", 1, seed)
        settings = TrainingSettings.model_validate({**SHARED, **values, "seed": seed, "time_budget_minutes": 60})
        started = time.monotonic()
        judged = train_and_judge(folder, Workspace.open(Path(place) / "workspace"), settings)
        minutes = (time.monotonic() - started) / 60
        model = Model(judged.onnx_bytes, encode_checkpoint(judged.checkpoint))
        report = examine_with_attacks(folder, judged.split, model, EXAMINED, seed)
    if report is None:
        raise ValueError("robustness was examined")
    return report, {"minutes": minutes, **_numbers(report)}


def _numbers(report: RobustnessReport) -> dict[str, float]:
    """What the table shows of one report."""
    numbers = {"clean": report.clean_balanced_accuracy, "corrupted": report.mean_balanced_accuracy}
    for severity in sorted({score.severity for score in report.corruptions}):
        same = [score for score in report.corruptions if score.severity == severity]
        numbers[f"severity_{severity:g}"] = statistics.mean(score.balanced_accuracy for score in same)
    numbers["worst"] = min(score.balanced_accuracy for score in report.corruptions)
    numbers["worst_class"] = statistics.mean(score.worst_recall for score in report.corruptions)
    numbers["flip_rate"] = statistics.mean(score.flip_rate for score in report.corruptions)
    return {**numbers, **{f"{s.name}_{s.severity:g}": s.balanced_accuracy for s in report.attacks}}


def _spread(values: list[float]) -> dict[str, float]:
    """Mean, and standard deviation over divisions."""
    return {"mean": round(statistics.mean(values), 4), "sd": round(statistics.stdev(values), 4)}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    chosen = parser.parse_args()
    figures = measure(range(chosen.repeats))
    sys.stdout.write(f"{write_result('robustness', chosen.repeats, figures)}\n")
