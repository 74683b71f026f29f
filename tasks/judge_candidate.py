"""Judges a candidate against limits and champion."""

from __future__ import annotations

from pathlib import Path

from prefect import task

from models.artifacts.ref import ArtifactRef, open_checked, seal_record
from models.artifacts.tables import SPLIT, decode_table
from models.artifacts.workspace import Workspace
from models.serving.registry import Registry
from tasks.progress import progress_of
from validation import candidate
from validation.gate_settings import GateSettings


# Not cached: the champion, which is no input, decides too.
@task(name="judge-candidate")
def judge_candidate(
    folder: Path,
    bundle: ArtifactRef,
    split: ArtifactRef,
    settings: GateSettings,
    workspace: Workspace,
    robustness: ArtifactRef | None = None,
) -> ArtifactRef:
    """Verdict of every gate on a candidate."""
    rows = decode_table(open_checked(split), SPLIT)
    job = candidate.CandidateJob(bundle.path.parent, folder, rows, candidate.open_robustness(robustness))
    progress = progress_of("compare with the champion")
    verdict = candidate.judge_bundle(job, Registry(workspace), settings, progress)
    return seal_record(workspace, "verdict", verdict, rows=len(verdict.findings))
