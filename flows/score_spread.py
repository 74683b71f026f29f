"""Scores a folder by tasks that a task runner spreads over threads, processes or machines."""

from __future__ import annotations

from pathlib import Path

from prefect import flow
from prefect.runtime import flow_run

from models.artifacts.places import place_of
from models.artifacts.ref import ArtifactRef, seal_record
from models.artifacts.workspace import Workspace
from models.serving import score
from models.serving.registry import Registry
from models.serving.score import ScoreJob, ScoringSettings
from models.serving.sites import open_scorer
from tasks.scoring_progress import scoring_progress
from tasks.spread import spread_over
from tasks.spread_settings import SpreadSettings


@flow(name="score-spread", persist_result=False)
def score_spread(
    folder: str, name: str, out: str, workspace_root: Path, scoring: ScoringSettings, spread: SpreadSettings
) -> ArtifactRef:
    """Address of the summary of an output in which every file of the folder has its row.

    Args:
        folder: Path or address of the pictures.
        name: Name of the model whose champion scores.
        out: Path or address for the predictions.
        workspace_root: Folder that holds all that Sortline writes; every worker has to see it.
        scoring: How the folder is scored.
        spread: How it is spread.
    """
    workspace = Workspace.open(workspace_root)
    champion = open_scorer(Registry(workspace), name, scoring)
    job = ScoreJob(place_of(folder), champion, place_of(out), scoring, workspace.tuning_dir)
    told = scoring_progress(name)
    summary = score.score_folder(job, str(flow_run.id), on_progress=told, open_writer=spread_over(spread))
    return seal_record(workspace, "score_summary", summary, rows=summary.files)
