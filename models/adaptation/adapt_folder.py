"""Folders of a site to the adaptation that scores there, where it earned its place."""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from models.adaptation.adapt import adapt
from models.adaptation.settings import AdaptSettings
from models.adaptation.site_pictures import look_at_site
from models.artifacts.site_records import SiteReport
from models.artifacts.workspace import Workspace
from models.data.scan import ScanSettings, list_and_scan
from models.errors import ArtifactMissing
from models.parallel import ProgressSink
from models.reports.site_page import site_page_path, write_site_page
from models.serving.bundle import Bundle
from models.serving.history import Deed
from models.serving.registry import Registry
from models.serving.sites import keep_adaptation, sites_dir


class AdaptJob(NamedTuple):
    """What is adapted to what.

    Attributes:
        folder: pictures of the site, with labels or without.
        unlabelled: more pictures of the site; None: there are none.
        name: of the model.
        site: its name.
    """

    folder: Path
    unlabelled: Path | None
    name: str
    site: str
    scan: ScanSettings
    settings: AdaptSettings


def adapt_folder(job: AdaptJob, workspace: Workspace, at: datetime, sink: ProgressSink) -> SiteReport:
    """What became of the adaptation; registry and reports tell of it too, whether it was accepted or not.

    Args:
        job: what is adapted to what.
        workspace: holds the model.
        at: when, UTC.
        sink: told of progress.

    Raises:
        SettingsError: the model has no champion, or cannot be adapted.
        DataError: pictures or labels that nothing can be learned from.
    """
    registry = Registry(workspace)
    sites_dir(registry, job.name, job.site)  # refuses a name before the work
    bundle: Bundle = registry.open_champion(job.name)
    parts = []
    for folder in filter(None, (job.folder, job.unlabelled)):
        parts.append((folder, list_and_scan(folder, job.scan, lambda d, t: sink("scan", d, t))))
    pictures = look_at_site(bundle, parts, workspace.features_dir, lambda d, t: sink("look at the site", d, t))
    started = time.monotonic()
    found = adapt(bundle, pictures, job.site, job.settings)
    kept = keep_adaptation(registry, job.name, found.site, Deed(at, found.reason), is_accepted=found.is_accepted)
    if kept.path is None:
        raise ArtifactMissing("a site file without a place", "one that was written", "Run the same command again.")
    page = site_page_path(workspace.reports_dir, job.name, job.site)
    report = SiteReport(
        record=kept.record,
        is_accepted=found.is_accepted,
        reason=found.reason,
        site_sha256=kept.sha256,
        size_bytes=kept.path.stat().st_size,
        elapsed_s=time.monotonic() - started,
        path=str(kept.path),
        page=str(page),
    )
    write_site_page(page, report)
    return report
