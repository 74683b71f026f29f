"""Adapts a champion to a site."""

from __future__ import annotations

from datetime import datetime

from prefect import task

from models.adaptation.adapt_folder import AdaptJob, adapt_folder
from models.artifacts.ref import ArtifactRef, seal_record
from models.artifacts.workspace import Workspace
from tasks.healing import can_heal
from tasks.progress import progress_of


# Not cached: which champion there is is no argument, and what was looked at is kept.
@task(name="adapt-site", retries=2, retry_delay_seconds=[10, 60], retry_condition_fn=can_heal)
def adapt_site(job: AdaptJob, at: datetime, workspace: Workspace) -> ArtifactRef:
    """Report of the adaptation of a model to a site; it scores there where it was accepted."""
    report = adapt_folder(job, workspace, at, lambda stage, done, total: progress_of(stage)(done, total))
    return seal_record(workspace, "site_report", report, rows=report.record.rows)
