"""A training on a folder whose table divides it, judged on its test rows, by the chain's own functions."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from models.artifacts.records import Scorecard
from models.artifacts.tables import encode_table
from models.artifacts.workspace import Workspace
from models.data.listing import listing_table
from models.data.resample import ResamplingSettings, plan_resampling, resampling_for
from models.data.scan import ScanSettings, scan_folder
from models.data.split import SplitSettings, assign_splits
from models.learning.checkpoint import Checkpoint, encode_checkpoint
from models.learning.evaluate import evaluate_split, make_scorecard
from models.learning.export_checkpoint import export_checkpoint
from models.learning.fit import Places, Subject
from models.learning.imbalance import plan_imbalance
from models.learning.learn import learn
from models.learning.training_settings import TrainingSettings
from models.serving.picture_scorer import card_of


class Judged(NamedTuple):
    """A trained model and its scorecard, with the tables SPLIT and RESAMPLE_PLAN that it learned from."""

    scorecard: Scorecard
    onnx_bytes: bytes
    checkpoint: Checkpoint
    split: pa.Table
    plan: pa.Table


def train_and_judge(folder: Path, workspace: Workspace, settings: TrainingSettings) -> Judged:
    """A model of the folder's train and tune rows, judged on its test rows, by the chain itself."""
    manifest = scan_folder(folder, listing_table(folder), ScanSettings(near_duplicate_bits=-1))
    split = assign_splits(manifest, SplitSettings())
    plan = plan_resampling(split, resampling_for(plan_imbalance(settings.imbalance).draws, ResamplingSettings()))
    places = Places(workspace.features_dir, workspace.states_dir)
    subject = Subject("benchmark", hashlib.sha256(encode_table(split)).hexdigest())
    checkpoint = learn(folder, split, plan, settings, subject, places)
    data = export_checkpoint(encode_checkpoint(checkpoint), folder, split, workspace.features_dir)
    card = make_scorecard(evaluate_split(folder, split, data), card_of(data))
    return Judged(card, data, checkpoint, split, plan)
