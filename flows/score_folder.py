"""Every file of a folder to one row of predictions."""

from __future__ import annotations

from pathlib import Path

from prefect import flow
from prefect.runtime import flow_run

from flows.places import require_allowed
from flows.score_spread import score_spread
from flows.task_runners import one_server, task_runner_of
from models.artifacts.ref import ArtifactRef
from models.artifacts.workspace import Workspace
from models.drift.settings import DriftSettings
from models.serving.registry import Registry
from models.serving.score import ScoringSettings
from models.serving.shadow import ShadowSettings, shadow_digest
from tasks.measure_drift import measure_drift
from tasks.score_folder import score_folder as score_folder_task
from tasks.score_in_shadow import score_in_shadow
from tasks.spread_settings import SpreadSettings
from tasks.tell_drift import tell_drift
from tasks.tell_summary import tell_summary


@flow(name="score-folder", persist_result=False)
def score_folder(
    folder: str,
    name: str,
    out: str,
    workspace_root: Path = Path("workspace"),
    scoring: ScoringSettings = ScoringSettings(),  # noqa: B008 - frozen, and the form shows it
    drift: DriftSettings = DriftSettings(),  # noqa: B008
    shadow: ShadowSettings = ShadowSettings(),  # noqa: B008
    spread: SpreadSettings = SpreadSettings(),  # noqa: B008
) -> tuple[ArtifactRef, ArtifactRef, ArtifactRef | None]:
    """Addresses of the summary, the drift report and the shadow report of a folder scored with a champion.

    Args:
        folder: Pictures, at any depth: a path, or an address in a store, as s3://bucket/pictures.
        name: Name of the model whose champion scores.
        out: Folder or address for the predictions; files that have their row there are left alone.
        workspace_root: Folder that holds all that Sortline writes.
        scoring: How the folder is scored.
        drift: When the batch counts as drifted.
        shadow: Which candidate answers the same pictures, without its answers being used.
        spread: Whether the work is spread over several processes or machines.
    """
    require_allowed(folder, out, str(workspace_root))
    workspace = Workspace.open(workspace_root)
    # Before anything is scored: a bundle that does not exist is a mistake of whoever asked.
    sha256 = shadow_digest(Registry(workspace), name, shadow)
    if spread.runner == "none":
        summary = score_folder_task(folder, name, out, scoring, str(flow_run.id), workspace)
    else:
        with one_server():
            spread_flow = score_spread.with_options(task_runner=task_runner_of(spread))
            summary = spread_flow(folder, name, out, workspace_root, scoring, spread)
    drifted = measure_drift(summary, drift, workspace)
    tell_drift(drifted, is_new=tell_summary(summary) > 0)
    beside = score_in_shadow(folder, sha256, summary, shadow, scoring, workspace) if sha256 else None
    return summary, drifted, beside
