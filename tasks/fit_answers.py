"""Gives a served model all its answers."""

from __future__ import annotations

from pathlib import Path

from prefect import task

from models.artifacts.ref import ArtifactRef, open_checked, seal
from models.artifacts.tables import SPLIT, decode_table
from models.artifacts.workspace import Workspace
from models.judging.answer_settings import AnswerSettings
from tasks.caching import SEALED


@task(name="fit-answers", cache_policy=SEALED, persist_result=True, result_serializer="json")
def fit_answers(
    folder: Path,
    model: ArtifactRef,
    checkpoint: ArtifactRef,
    split: ArtifactRef,
    settings: AnswerSettings,
    workspace: Workspace,
) -> ArtifactRef:
    """The model with sets of classes, a limit of risk, and a score for foreign pictures."""
    from models.learning import checkpoint as checkpoints  # torch takes seconds to import
    from models.learning import fit_answers as answers

    kept = checkpoints.decode_checkpoint(open_checked(checkpoint)).calibration
    pictures = answers.Pictures(folder, decode_table(open_checked(split), SPLIT), workspace.features_dir)
    data = answers.fit_answers(open_checked(model), kept, pictures, settings)
    return seal(workspace, "answering_model", data, suffix=".onnx", rows=1)
