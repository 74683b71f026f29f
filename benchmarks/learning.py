"""What learning reaches on real pictures, and what it costs: long tails, solar cells, recurrent networks, kills."""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import torch
from scipy import stats

from benchmarks.cells import Task, judge_repeats, summary, write_cells
from benchmarks.chain import Judged, train_and_judge
from benchmarks.digits import write_digits
from benchmarks.kills import measure_kills
from benchmarks.result_file import read_figures, write_result
from benchmarks.step_rate import measure_step_rate
from models.artifacts.workspace import Workspace
from models.data.decode import read_picture
from models.data.limits import NO_LIMITS
from models.learning.checkpoint import rebuild_trunk
from models.learning.head import head_logits
from models.learning.training_settings import TrainingSettings
from models.networks.registry import UprightTrunk
from models.serving.export import served_layers
from models.serving.picture_scorer import card_of
from models.serving.session import ImageSession

LONG_TAIL_RATIO = 50
# Digits must not be mirrored; chosen on other divisions (seeds from 100) than those that are reported.
DIGITS = {
    "network": "convnet",
    "size_px": 16,
    "objective": "balanced_accuracy",
    "augment": {"symmetries": "none"},
    "fit": {"epochs": 40, "batch_rows": 16, "learning_rate": 3e-3},
}
FULL_DIGITS = {"size_px": 32, "objective": "accuracy", "augment": {"symmetries": "none"}, "time_budget_minutes": 30}
NETWORKS = {"convnet": 12, "renet": 20, "row_lstm": 40}
CELLS = {"augment": {"symmetries": "dihedral"}, "time_budget_minutes": 60}
FROZEN = {**CELLS, "learner": "frozen"}
OBJECTIVES: dict[Task, str] = {"four_classes": "macro_f1", "two_classes": "accuracy"}
FINE_TUNED = {**CELLS, "learner": "fine_tune", "fit": {"mixed_precision": "off"}}
# Only where there is a GPU: hours on a CPU.
WHOLE = {**CELLS, "learner": "fine_tune", "fit": {"frozen_stages": 0}}


def long_tail(seeds: Iterable[int]) -> dict[str, Any]:
    """Macro accuracy on digits with a long tail: plain cross-entropy against `auto`, each trained by itself."""
    found: dict[str, list[float]] = {"natural": [], "auto": []}
    with tempfile.TemporaryDirectory() as place:
        for seed in seeds:
            folder = write_digits(Path(place) / f"{seed}", LONG_TAIL_RATIO, seed)
            for method, values in found.items():
                settings = TrainingSettings.model_validate({**DIGITS, "imbalance": method, "seed": seed})
                judged = train_and_judge(folder, Workspace.open(Path(place) / f"{seed}{method}"), settings)
                values.append(judged.scorecard.served.balanced_accuracy.value)
    return {
        "ratio": LONG_TAIL_RATIO,
        "divisions": len(found["auto"]),
        **{name: _spread(values) for name, values in found.items()},
    }


def recurrent() -> dict[str, Any]:
    """Accuracy, cost and parity of the recurrent networks on all digits, beside the CNN."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as place:
        folder = write_digits(Path(place) / "digits", 1, 0)
        for name, epochs in NETWORKS.items():
            settings = TrainingSettings.model_validate({**FULL_DIGITS, "network": name, "fit": {"epochs": epochs}})
            started = time.monotonic()
            judged = train_and_judge(folder, Workspace.open(Path(place) / name), settings)
            accuracy = judged.scorecard.served.accuracy
            found[name] = {
                "accuracy": round(accuracy.value, 4),
                "low": round(accuracy.low, 4),
                "high": round(accuracy.high, 4),
                "held_out": judged.scorecard.served.rows,
                "elapsed_s": round(time.monotonic() - started, 1),
                "pictures_per_s": round(_scoring_rate(judged.onnx_bytes), 1),
                "onnx_difference": _onnx_difference(judged, folder),
            }
    for row in found.values():
        row["training_time_over_cnn"] = round(row["elapsed_s"] / found["convnet"]["elapsed_s"], 2)
        row["scoring_time_over_cnn"] = round(found["convnet"]["pictures_per_s"] / row["pictures_per_s"], 2)
    return found


def _onnx_difference(judged: Judged, folder: Path) -> float:
    """Largest difference of a probability between torch and ONNX Runtime, in batches of 1, 2 and 7 pictures."""
    checkpoint = judged.checkpoint
    preprocess = checkpoint.card.preprocess
    paths = sorted(folder.glob("*.png"))[:14]
    pixels = np.stack([preprocess.apply(read_picture(path, NO_LIMITS).rgb) for path in paths])
    session = ort.InferenceSession(judged.onnx_bytes, providers=["CPUExecutionProvider"])
    with torch.inference_mode():
        embedding = UprightTrunk(rebuild_trunk(checkpoint))(torch.from_numpy(pixels)).numpy()
    logits = torch.from_numpy(head_logits(embedding, tuple(served_layers(checkpoint.layers, checkpoint.card))))
    expected = torch.softmax(logits, 1).numpy()
    found = 0.0
    for rows in (1, 2, 7):
        for start in range(0, len(pixels) - rows + 1, rows):
            part = slice(start, start + rows)
            (probabilities,) = session.run(["probabilities"], {"image": pixels[part]})
            found = max(found, float(np.abs(probabilities - expected[part]).max()))
    return found


def _scoring_rate(onnx_bytes: bytes) -> float:
    """Median pictures a second of one thread, one picture a call."""
    session = ImageSession(onnx_bytes)
    preprocess = card_of(onnx_bytes).preprocess
    pixels = np.zeros((preprocess.height_px, preprocess.width_px, 3), dtype=np.uint8)
    rates = []
    for _ in range(6):
        started = time.monotonic()
        for _ in range(200):
            session.run(pixels)
        rates.append(200 / (time.monotonic() - started))
    return statistics.median(rates[1:])


def _spread(values: list[float]) -> dict[str, Any]:
    """Mean and standard deviation over divisions, and the interval of the mean by Student's t."""
    mean, sd = statistics.mean(values), statistics.stdev(values)
    half = float(stats.t.ppf(0.975, len(values) - 1)) * sd / len(values) ** 0.5
    numbers = {"mean": mean, "sd": sd, "low": mean - half, "high": mean + half}
    return {**{k: round(v, 4) for k, v in numbers.items()}, "values": [round(v, 4) for v in values]}


def _cells(values: dict[str, Any], seeds: Iterable[int], root: Path) -> dict[str, Any]:
    """ELPV by both tasks, each for its own objective."""
    cells, workspace = write_cells(root / "cells"), Workspace.open(root / "workspace")
    found: dict[str, Any] = {}
    for task, objective in OBJECTIVES.items():
        settings = TrainingSettings.model_validate({**values, "objective": objective})
        started = time.monotonic()
        cards = judge_repeats(cells, task, settings, seeds, workspace)
        minutes = (time.monotonic() - started) / 60 / len(cards)
        found[task] = {**summary(cards), "minutes_a_repeat": round(minutes, 1)}
        if torch.cuda.is_available():
            found[task]["trained_on"] = torch.cuda.get_device_name()
    return found


def _in_folder(measure: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as place:
        return measure(Path(place))


PARTS: dict[str, Callable[[range], dict[str, Any]]] = {
    "long_tail": long_tail,
    "recurrent": lambda _: recurrent(),
    "frozen_cells": lambda seeds: _in_folder(lambda root: _cells(FROZEN, seeds, root)),
    "fine_tuned_cells": lambda seeds: _in_folder(lambda root: _cells(FINE_TUNED, seeds, root)),
    "fine_tuned_whole_cells": lambda seeds: _in_folder(lambda root: _cells(WHOLE, seeds, root)),
    "step_rate": lambda _: {
        f"{name}_{size}px": _in_folder(lambda root: measure_step_rate(root, name, size))  # noqa: B023 - called here
        for name, size in (("convnet", 64), ("convnet", 32))
    },
    "kills": lambda _: _in_folder(measure_kills),
}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--parts", nargs="+", choices=PARTS, default=[part for part in PARTS if part != "fine_tuned_whole_cells"]
    )
    parser.add_argument("--repeats", type=int, default=5)
    chosen = parser.parse_args()
    figures = read_figures("learning")
    for part in chosen.parts:
        figures[part] = PARTS[part](range(chosen.repeats))
        sys.stdout.write(f"{write_result('learning', chosen.repeats, figures)} {part}\n")
        sys.stdout.flush()
