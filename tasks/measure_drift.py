"""Compares a scored folder with the champion's baseline, and with the batches before."""

from __future__ import annotations

from prefect import task

from models.artifacts.places import place_of
from models.artifacts.records import DriftReport, ScoreSummary
from models.artifacts.ref import ArtifactRef, read_record, seal_record
from models.artifacts.workspace import Workspace
from models.drift.of_run import drift_of_output, drift_of_run
from models.drift.settings import DriftSettings
from models.reports.drift_report import file_drift
from models.serving.registry import Registry
from models.serving.sites import open_served
from tasks.caching import SEALED


@task(name="measure-drift", cache_policy=SEALED, persist_result=True, result_serializer="json")
def measure_drift(summary: ArtifactRef, settings: DriftSettings, workspace: Workspace) -> ArtifactRef:
    """Drift report of the rows that a summary tells of; it is in the model's history, and on its page, too."""
    scored = read_record(summary, ScoreSummary)
    bundle = open_served(Registry(workspace), scored.model_name, scored.bundle_sha256)
    return _filed(drift_of_run(scored, bundle, settings), workspace)


# Not cached: what an output holds is no argument.
@task(name="measure-output-drift")
def measure_output_drift(name: str, out: str, settings: DriftSettings, workspace: Workspace) -> ArtifactRef:
    """Drift report of the newest batch of an output."""
    return _filed(drift_of_output(place_of(out), Registry(workspace), name, settings), workspace)


def _filed(report: DriftReport, workspace: Workspace) -> ArtifactRef:
    file_drift(workspace, report)
    return seal_record(workspace, "drift", report, rows=report.rows)
