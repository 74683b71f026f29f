"""The chain's pure functions in a row, as the flow calls them, for tests that need a bundle and no Prefect."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from models.artifacts.workspace import Workspace
from models.data.limits import NO_LIMITS
from models.data.listing import listing_table
from models.data.resample import ResamplingSettings, plan_resampling
from models.data.scan import ScanSettings, scan_folder
from models.data.split import SplitSettings, assign_splits
from models.judging.answer_settings import AnswerSettings
from models.learning.checkpoint import encode_checkpoint
from models.learning.evaluate import evaluate_split, make_scorecard
from models.learning.export_checkpoint import export_checkpoint, odd_files
from models.learning.fit import Places, Subject, fit_classifier
from models.learning.fit_answers import Pictures, fit_answers
from models.learning.lesson import prepare_lesson
from models.learning.training_settings import FitSettings, TrainingSettings
from models.serving.bundle import BundleParts, write_bundle
from models.serving.golden import golden_table
from models.serving.picture_scorer import PictureScorer, card_of
from models.serving.registry import Registry

FAST = TrainingSettings(
    network="convnet",
    size_px=64,
    refit_on_tune=False,
    fit=FitSettings(epochs=6, batch_rows=16, learning_rate=3e-3, mixed_precision="off"),
)


def split_of(folder: Path) -> pa.Table:
    """Table SPLIT of a labelled folder, by default settings."""
    return assign_splits(scan_folder(folder, listing_table(folder), ScanSettings()), SplitSettings())


def train_bundle(
    folder: Path,
    workspace: Workspace,
    name: str,
    settings: TrainingSettings = FAST,
    *,
    split: pa.Table | None = None,
    data_sha256: str = "0" * 64,
) -> Path:
    """Folder of a bundle trained on `folder`, or on a table SPLIT of it with its digest."""
    split = split if split is not None else split_of(folder)
    plan = plan_resampling(split, ResamplingSettings())
    places = Places(workspace.features_dir, workspace.states_dir)
    checkpoint = fit_classifier(prepare_lesson(folder, split, plan, settings), Subject(name, data_sha256), places)
    exported = export_checkpoint(encode_checkpoint(checkpoint), folder, split, workspace.features_dir)
    pictures = Pictures(folder, split, workspace.features_dir)
    onnx_bytes = fit_answers(exported, checkpoint.calibration, pictures, AnswerSettings(min_coverage=0.9))
    parts = bundle_parts(
        onnx_bytes, evaluate_split(folder, split, onnx_bytes), odd_files(folder, split, card_of(onnx_bytes), 12)
    )
    return write_bundle(Registry(workspace).bundles_dir(name), parts, "# Shapes\n")[0]


def bundle_parts(onnx_bytes: bytes, evaluation: pa.Table, files: list[bytes]) -> BundleParts:
    """What a bundle of an exported model is made of."""
    card = card_of(onnx_bytes)
    golden = golden_table(files, PictureScorer(onnx_bytes, NO_LIMITS))
    return BundleParts(onnx_bytes, onnx_bytes, card, make_scorecard(evaluation, card), evaluation, golden)
