"""Scores a folder with a champion."""

from __future__ import annotations

from prefect import task

from models.artifacts.places import place_of
from models.artifacts.ref import ArtifactRef, seal_record
from models.artifacts.workspace import Workspace
from models.serving import score
from models.serving.registry import Registry
from models.serving.sites import open_scorer
from tasks.healing import can_heal
from tasks.scoring_progress import scoring_progress


# Not cached: the output knows which files it has, and only new ones are scored.
@task(name="score-folder", retries=2, retry_delay_seconds=[10, 60], retry_condition_fn=can_heal)
def score_folder(
    folder: str, name: str, out: str, settings: score.ScoringSettings, run_id: str, workspace: Workspace
) -> ArtifactRef:
    """Summary of an output in which every file of the folder has its row."""
    champion = open_scorer(Registry(workspace), name, settings)
    job = score.ScoreJob(place_of(folder), champion, place_of(out), settings, workspace.tuning_dir)
    summary = score.score_folder(job, run_id, on_progress=scoring_progress(name))
    return seal_record(workspace, "score_summary", summary, rows=summary.files)
