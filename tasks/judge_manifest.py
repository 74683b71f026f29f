"""Judges a manifest."""

from __future__ import annotations

from prefect import task

from models.artifacts.ref import ArtifactRef, open_checked, seal_record
from models.artifacts.tables import MANIFEST, decode_table
from models.artifacts.workspace import Workspace
from tasks.caching import SEALED
from validation import suites


@task(name="judge-manifest", cache_policy=SEALED, persist_result=True, result_serializer="json")
def judge_manifest(manifest: ArtifactRef, settings: suites.ValidationSettings, workspace: Workspace) -> ArtifactRef:
    """Verdict of every rule on a manifest."""
    verdict = suites.judge_manifest(decode_table(open_checked(manifest), MANIFEST), settings)
    return seal_record(workspace, "verdict", verdict, rows=len(verdict.findings))
