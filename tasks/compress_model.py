"""Tries smaller models in the place of the exported one."""

from __future__ import annotations

from pathlib import Path

from prefect import task

from models.artifacts.ref import ArtifactRef, open_checked, seal
from models.artifacts.tables import RESAMPLE_PLAN, SPLIT, decode_table
from models.artifacts.workspace import Workspace
from models.compression.settings import CompressionSettings
from models.learning.training_settings import TrainingSettings
from tasks.caching import SEALED
from tasks.training_progress import training_hooks


@task(name="compress-model", cache_policy=SEALED, persist_result=True, result_serializer="json")
def compress_model(  # noqa: PLR0913, PLR0917 - a student is trained as its teacher was
    folder: Path,
    model: ArtifactRef,
    split: ArtifactRef,
    plan: ArtifactRef,
    training: TrainingSettings,
    settings: CompressionSettings,
    workspace: Workspace,
) -> ArtifactRef:
    """The model to serve: the fastest that keeps the budget, or the exported one."""
    from models.compression.compress_exported import compress_exported  # onnx and torch take seconds to import
    from models.compression.student import Trained
    from models.learning.fit import Places

    tables = decode_table(open_checked(split), SPLIT), decode_table(open_checked(plan), RESAMPLE_PLAN)
    trained, places = Trained(folder, *tables, training), Places(workspace.features_dir, workspace.states_dir)
    with training_hooks("student", training.objective) as hooks:
        data = compress_exported(open_checked(model), trained, settings, places, hooks)
    return seal(workspace, "served_model", data, suffix=".onnx", rows=1)
