"""Learns weights from pictures without labels."""

from __future__ import annotations

from pathlib import Path

from prefect import task

from models.artifacts.ref import ArtifactRef, seal_record
from models.artifacts.workspace import Workspace
from models.data.scan import ScanSettings
from models.pretraining.settings import PretrainSettings
from tasks.progress import progress_of


# Not cached: what a folder holds is no argument. A state is kept, so that a run that died goes on.
@task(name="pretrain-network")
def pretrain_network(
    folder: Path, name: str, scan: ScanSettings, settings: PretrainSettings, workspace: Workspace
) -> ArtifactRef:
    """Report of what a network learned; its weights lie where the report says."""
    from models.pretraining.pretrain_folder import PretrainJob, pretrain_folder  # torch takes seconds to import

    job = PretrainJob(folder, name, scan, settings)
    report = pretrain_folder(job, workspace, lambda stage, done, total: progress_of(stage)(done, total))
    return seal_record(workspace, "pretrain_report", report, rows=report.pictures)
