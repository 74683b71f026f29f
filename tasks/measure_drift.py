"""Compares a scored folder with the champion's baseline."""

from __future__ import annotations

from prefect import task

from models.artifacts.records import ScoreSummary
from models.artifacts.ref import ArtifactRef, read_record, seal_record
from models.artifacts.workspace import Workspace
from models.serving import drift
from models.serving.registry import Registry
from tasks.caching import SEALED


@task(name="measure-drift", cache_policy=SEALED, persist_result=True, result_serializer="json")
def measure_drift(summary: ArtifactRef, settings: drift.DriftSettings, workspace: Workspace) -> ArtifactRef:
    """Drift report of the rows that a summary tells of, against the bundle that scored them."""
    scored = read_record(summary, ScoreSummary)
    bundle = Registry(workspace).open_bundle(scored.model_name, scored.bundle_sha256)
    report = drift.measure_drift(drift.scored_batch(scored), bundle, settings)
    return seal_record(workspace, "drift", report, rows=report.rows)
