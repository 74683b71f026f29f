"""Judges a division."""

from __future__ import annotations

from prefect import task

from models.artifacts.ref import ArtifactRef, open_checked
from models.artifacts.tables import SPLIT, decode_table
from models.artifacts.workspace import Workspace
from tasks.caching import SEALED
from validation import suites, verdicts


@task(name="judge-split", cache_policy=SEALED, persist_result=True, result_serializer="json")
def judge_split(split: ArtifactRef, settings: suites.ValidationSettings, workspace: Workspace) -> ArtifactRef:
    """Verdict of every rule on a division: leaks before all."""
    judgement = suites.judge_split(decode_table(open_checked(split), SPLIT), settings)
    return verdicts.seal_judgement(workspace, judgement)
