"""Trains a classifier."""

from __future__ import annotations

from pathlib import Path

from prefect import task

from models.artifacts.ref import ArtifactRef, open_checked, seal
from models.artifacts.tables import RESAMPLE_PLAN, SPLIT, decode_table
from models.artifacts.workspace import Workspace
from models.learning.training_settings import TrainingSettings
from tasks.caching import SEALED
from tasks.training_progress import training_hooks


@task(name="fit-classifier", cache_policy=SEALED, persist_result=True, result_serializer="json")
def fit_classifier(
    name: str, folder: Path, split: ArtifactRef, plan: ArtifactRef, settings: TrainingSettings, workspace: Workspace
) -> ArtifactRef:
    """Checkpoint of a classifier trained on the split."""
    from models.learning import checkpoint, fit, learn  # torch takes seconds to import

    rows = decode_table(open_checked(split), SPLIT), decode_table(open_checked(plan), RESAMPLE_PLAN)
    places = fit.Places(workspace.features_dir, workspace.states_dir)
    with training_hooks(name, settings.objective) as hooks:
        fitted = learn.learn(folder, *rows, settings, fit.Subject(name, split.sha256), places, hooks)
    data = checkpoint.encode_checkpoint(fitted)
    return seal(workspace, "checkpoint", data, suffix=".safetensors", rows=plan.rows)
