"""Judges a manifest."""

from __future__ import annotations

from prefect import task

from models.artifacts.ref import ArtifactRef, open_checked
from models.artifacts.tables import MANIFEST, decode_table
from models.artifacts.workspace import Workspace
from models.serving.data_history import DataBefore
from tasks.caching import SEALED
from validation import references, suites
from validation.judgement import seal_judgement


@task(name="judge-manifest", cache_policy=SEALED, persist_result=True, result_serializer="json")
def judge_manifest(
    manifest: ArtifactRef, before: DataBefore, settings: suites.ValidationSettings, workspace: Workspace
) -> ArtifactRef:
    """Verdict of every rule on a manifest."""
    table = decode_table(open_checked(manifest), MANIFEST)
    judged = suites.judge_manifest(table, settings, references.open_reference(before))
    return seal_judgement(workspace, judged)
