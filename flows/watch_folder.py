"""Looks into a folder often, and scores it where something new has arrived."""

from __future__ import annotations

from pathlib import Path

from prefect import flow

from flows.places import require_allowed
from flows.score_folder import score_folder
from models.artifacts.workspace import Workspace
from models.drift.settings import DriftSettings
from models.serving.scoring_settings import ScoringSettings
from tasks.look_for_files import look_for_files


@flow(name="watch-folder", persist_result=False)
def watch_folder(
    folder: str,
    name: str,
    out: str,
    workspace_root: Path = Path("workspace"),
    scoring: ScoringSettings = ScoringSettings(),  # noqa: B008 - frozen, and the form shows it
    drift: DriftSettings = DriftSettings(),  # noqa: B008
) -> bool:
    """Whether something was scored.

    Args:
        folder: Pictures, at any depth: a path, or an address in a store.
        name: Name of the model whose champion scores.
        out: Folder or address for the predictions.
        workspace_root: Folder that holds all that Sortline writes.
        scoring: How the folder is scored.
        drift: When the batch counts as drifted.
    """
    require_allowed(folder, out, str(workspace_root))
    if not look_for_files(folder, name, out, scoring, Workspace.open(workspace_root)):
        return False
    score_folder(folder, name, out, workspace_root, scoring, drift)
    return True
