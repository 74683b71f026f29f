"""From pictures of a site to the champion as it answers there."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from prefect import flow

from flows.places import require_allowed
from models.adaptation.adapt_folder import AdaptJob
from models.adaptation.settings import AdaptSettings
from models.artifacts.ref import ArtifactRef
from models.artifacts.workspace import Workspace
from models.data.scan import ScanSettings
from tasks.adapt_site import adapt_site as adapt_site_task
from tasks.tell_site import tell_site


@flow(name="adapt-site", persist_result=False)
def adapt_site(
    folder: Path,
    name: str,
    site: str,
    unlabelled: Path | None = None,
    workspace_root: Path = Path("workspace"),
    scan: ScanSettings = ScanSettings(),  # noqa: B008 - frozen, and the form shows it
    adapt: AdaptSettings = AdaptSettings(),  # noqa: B008
) -> ArtifactRef:
    """Report of what a model was adapted to at a site; it scores there from now on where it is better.

    Args:
        folder: Pictures of the site: some with labels, in one folder a class or with a table, or none.
        name: Name of the model whose champion is adapted.
        site: Name of the site: a-z, 0-9 and dashes.
        unlabelled: More pictures of the site, without labels; empty for none.
        workspace_root: Folder that holds all that Sortline writes.
        scan: How the folders are read.
        adapt: How it is adapted, and when that is accepted.
    """
    require_allowed(str(folder), str(workspace_root), *([str(unlabelled)] if unlabelled else []))
    workspace = Workspace.open(workspace_root)
    job = AdaptJob(folder, unlabelled, name, site, scan, adapt)
    report = adapt_site_task(job, datetime.now(UTC), workspace)
    tell_site(report)
    return report
