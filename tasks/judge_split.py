"""Judges a division."""

from __future__ import annotations

from prefect import task

from models.artifacts.ref import ArtifactRef, open_checked
from models.artifacts.tables import SPLIT, decode_table
from models.artifacts.workspace import Workspace
from tasks.caching import SEALED
from validation import suites
from validation.judgement import seal_judgement


@task(name="judge-split", cache_policy=SEALED, persist_result=True, result_serializer="json")
def judge_split(split: ArtifactRef, settings: suites.ValidationSettings, workspace: Workspace) -> ArtifactRef:
    """Verdict of every rule on a division: leaks before all."""
    judged = suites.judge_split(decode_table(open_checked(split), SPLIT), settings)
    return seal_judgement(workspace, judged)
