"""What 8-bit integers gain and cost on real pictures, beside plain static quantisation, and what was decided."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

from benchmarks.cells import Cells, Task, divide_cells, write_cells
from benchmarks.chain import Judged, train_and_judge
from benchmarks.result_file import read_figures, write_result
from models.artifacts.workspace import Workspace
from models.compression.compress import Answers, answers_of, speed_ratio
from models.compression.compress_exported import compress_exported
from models.compression.quantise import PictureReader, prepared
from models.compression.settings import CompressionSettings
from models.compression.student import Trained
from models.data.split import TEST, TRAIN
from models.learning.checkpoint import rebuild_trunk
from models.learning.fit import Places
from models.learning.head import head_logits
from models.learning.lesson import sample_of
from models.learning.metrics import confusion_counts, objective_value
from models.learning.pixel_store import PixelStore
from models.learning.training_settings import TrainingSettings
from models.networks.registry import UprightTrunk
from models.serving.export import served_layers
from models.serving.picture_scorer import card_of
from models.serving.session import ImageSession

Pixels = NDArray[np.uint8]
SCRATCH = {
    "learner": "scratch",
    "size_px": 128,
    "time_budget_minutes": 20,
    "refit_on_tune": False,
    "augment": {"symmetries": "dihedral"},
    "fit": {"epochs": 6},
}
NETWORKS: dict[str, tuple[Task, dict[str, Any]]] = {
    "efficientnet_lite0": ("four_classes", {"learner": "frozen"}),
    "torchvision/resnet18": ("two_classes", SCRATCH),
    "torchvision/mobilenet_v3_small": ("two_classes", SCRATCH),
}
CALIBRATION_ROWS = 64


def measure(name: str, cells: Cells, place: Path) -> dict[str, Any]:
    """One network on the solar cells: exported, in plain integers, and as it is served."""
    workspace, (task, values) = Workspace.open(place), NETWORKS[name]
    divide_cells(cells, task, 0)
    settings = TrainingSettings.model_validate({"network": name, "objective": "macro_f1", **values})
    judged = train_and_judge(cells.folder, workspace, settings)
    places = Places(workspace.features_dir, workspace.states_dir)
    started = time.monotonic()
    trained = Trained(cells.folder, judged.split, judged.plan, settings)
    served = compress_exported(judged.onnx_bytes, trained, CompressionSettings(), places)
    elapsed_s = time.monotonic() - started
    pixels, true = _test_pictures(judged, cells, workspace)
    exported = ImageSession(judged.onnx_bytes)
    before = answers_of(exported, pixels)
    card = card_of(served)
    return {
        "task": task,
        "size_px": card.preprocess.width_px,
        "held_out": len(pixels),
        "torch_agreement": _torch_agreement(judged, pixels, before),
        "float_macro_f1": _macro_f1(before, true),
        "plain": _compared(_plain(judged, cells, workspace), exported, before, pixels, true),
        "served": {"variant": card.variant, **_compared(served, exported, before, pixels, true)},
        "tried": [candidate.model_dump() for candidate in card.candidates],
        "decided_in_s": round(elapsed_s, 1),
        "bytes": {"float": len(judged.onnx_bytes), "served": len(served)},
    }


def _compared(
    data: bytes, exported: ImageSession, before: Answers, pixels: Pixels, true: NDArray[np.int64]
) -> dict[str, float]:
    session = ImageSession(data)
    found = answers_of(session, pixels)
    return {
        "agreement": round(float((found.probabilities.argmax(1) == before.probabilities.argmax(1)).mean()), 4),
        "macro_f1": _macro_f1(found, true),
        "speedup": round(speed_ratio(exported, pixels[0], session, pixels[0]), 3),
    }


def _macro_f1(answers: Answers, true: NDArray[np.int64]) -> float:
    shares = answers.probabilities
    counts = confusion_counts(true, np.asarray(shares.argmax(1), dtype=np.int64), shares.shape[1])
    return round(float(objective_value(counts, "macro_f1")), 4)


def _torch_agreement(judged: Judged, pixels: Pixels, answers: Answers) -> float:
    """Share of held-out pictures with the same best class in torch and in the exported file."""
    checkpoint = judged.checkpoint
    trunk = UprightTrunk(rebuild_trunk(checkpoint))
    with torch.inference_mode():
        rows = np.concatenate([trunk(torch.from_numpy(pixels[k : k + 32])).numpy() for k in range(0, len(pixels), 32)])
    logits = head_logits(rows, tuple(served_layers(checkpoint.layers, checkpoint.card)))
    return float((logits.argmax(1) == answers.probabilities.argmax(1)).mean())


def _test_pictures(judged: Judged, cells: Cells, workspace: Workspace) -> tuple[Pixels, NDArray[np.int64]]:
    card = judged.checkpoint.card
    sample = sample_of(cells.folder, judged.split, TEST, card.classes)
    store = PixelStore(workspace.features_dir / "pixels", card.preprocess)
    return store.pixels(sample.paths, sample.image_ids), sample.class_index


def _plain(judged: Judged, cells: Cells, workspace: Workspace) -> bytes:
    """What a first page of a manual gives: QDQ, per channel, every operator, ranges from as many pictures."""
    card = judged.checkpoint.card
    sample = sample_of(cells.folder, judged.split, TRAIN, card.classes)
    store = PixelStore(workspace.features_dir / "pixels", card.preprocess)
    pixels = store.pixels(sample.paths[:CALIBRATION_ROWS], sample.image_ids[:CALIBRATION_ROWS])
    with tempfile.TemporaryDirectory() as place:
        target = Path(place) / "plain.onnx"
        quantize_static(
            prepared(judged.onnx_bytes),
            target,
            PictureReader(pixels),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        data: bytes = onnx.load(target).SerializeToString()
        return data


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    chosen = parser.parse_args()
    figures = read_figures("compression")
    with tempfile.TemporaryDirectory() as root:
        cells = write_cells(Path(root) / "cells")
        for name in chosen.networks:
            figures[name] = measure(name, cells, Path(root) / name.replace("/", "-"))
            sys.stdout.write(f"{write_result('compression', 1, figures)} {name}\n")
            sys.stdout.flush()
