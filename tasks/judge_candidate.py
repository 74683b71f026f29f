"""Judges a candidate against limits and champion."""

from __future__ import annotations

from pathlib import Path

from prefect import task

from models.artifacts.ref import ArtifactRef, open_checked, seal_record
from models.artifacts.tables import SPLIT, decode_table
from models.artifacts.workspace import Workspace
from models.serving.registry import Registry
from tasks.progress import progress_of
from validation import candidate, gates


# Not cached: the champion, which is no input, decides too.
@task(name="judge-candidate")
def judge_candidate(
    folder: Path, bundle: ArtifactRef, split: ArtifactRef, settings: gates.GateSettings, workspace: Workspace
) -> ArtifactRef:
    """Verdict of every gate on a candidate."""
    rows = decode_table(open_checked(split), SPLIT)
    verdict = candidate.judge_bundle(
        bundle.path.parent, folder, rows, Registry(workspace), settings, progress_of("compare with the champion")
    )
    return seal_record(workspace, "verdict", verdict, rows=len(verdict.findings))
