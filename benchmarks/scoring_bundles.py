"""Bundles to score with, and the checkpoints that the same networks run from in torch."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

from models.artifacts.durable import write_durably
from models.artifacts.workspace import Workspace
from models.data.resample import ResamplingSettings, plan_resampling
from models.judging.answer_settings import AnswerSettings
from models.learning.checkpoint import encode_checkpoint
from models.learning.evaluate import evaluate_split
from models.learning.export_checkpoint import export_checkpoint, odd_files
from models.learning.fit import Places, Subject, fit_classifier
from models.learning.fit_answers import Pictures, fit_answers
from models.learning.lesson import prepare_lesson
from models.learning.training_settings import FitSettings, TrainingSettings
from models.serving.bundle import write_bundle
from models.serving.picture_scorer import card_of
from models.serving.registry import Registry
from tests.chain import bundle_parts, split_of

SIDE_PX = 224
NETWORKS = {
    "lite0": TrainingSettings(network="efficientnet_lite0", learner="frozen", refit_on_tune=False),
    # No weights come with it; what it answers does not matter here, only that both sides answer the same.
    "resnet18": TrainingSettings(
        network="torchvision/resnet18",
        weights="none",
        learner="scratch",
        size_px=SIDE_PX,
        refit_on_tune=False,
        fit=FitSettings(epochs=1, batch_rows=16, mixed_precision="off"),
    ),
}


class Made(NamedTuple):
    """A bundle's folder, and the file of the checkpoint that it was exported from."""

    bundle: Path
    checkpoint: Path


def write_labelled(cells: Path, target: Path, a_class: int) -> Path:
    """Some cells in two folders, by turns: labels that mean nothing, for a network that only has to be fast."""
    for k, path in enumerate(sorted(cells.iterdir())[: 2 * a_class]):
        place = target / ("even" if k % 2 == 0 else "odd")
        place.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, place / path.name)
    return target


def make(network: str, labelled: Path, workspace: Workspace, name: str = "") -> Made:
    """The chain's own functions, from labelled pictures to a bundle of the exported model in floats.

    Args:
        network: one of NETWORKS.
        labelled: folder of pictures.
        workspace: where all of it lies.
        name: of the model; empty: as the network.
    """
    name = name or network
    split = split_of(labelled)
    plan = plan_resampling(split, ResamplingSettings())
    places = Places(workspace.features_dir, workspace.states_dir)
    lesson = prepare_lesson(labelled, split, plan, NETWORKS[network])
    checkpoint = fit_classifier(lesson, Subject(name, "0" * 64), places)
    encoded = encode_checkpoint(checkpoint)
    exported = export_checkpoint(encoded, labelled, split, workspace.features_dir)
    pictures = Pictures(labelled, split, workspace.features_dir)
    onnx_bytes = fit_answers(exported, checkpoint.calibration, pictures, AnswerSettings(min_coverage=0.5))
    files = odd_files(labelled, split, card_of(onnx_bytes), 12)
    parts = bundle_parts(onnx_bytes, evaluate_split(labelled, split, onnx_bytes), files)
    path = workspace.root / f"{name}.safetensors"
    write_durably(path, encoded)
    return Made(write_bundle(Registry(workspace).bundles_dir(name), parts, "# Benchmark\n")[0], path)
