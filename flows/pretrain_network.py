"""From pictures without labels to weights that a training starts from."""

from __future__ import annotations

from pathlib import Path

from prefect import flow

from flows.places import require_allowed
from models.artifacts.ref import ArtifactRef
from models.artifacts.workspace import Workspace
from models.data.scan import ScanSettings
from models.pretraining.settings import PretrainSettings
from tasks.pretrain_network import pretrain_network as pretrain_network_task
from tasks.tell_pretraining import tell_pretraining


@flow(name="pretrain-network", persist_result=False)
def pretrain_network(
    folder: Path,
    name: str,
    workspace_root: Path = Path("workspace"),
    scan: ScanSettings = ScanSettings(),  # noqa: B008 - frozen, and the form shows it
    pretrain: PretrainSettings = PretrainSettings(),  # noqa: B008
) -> ArtifactRef:
    """Report of weights that were learned without labels, with the settings by which a training starts from them.

    Args:
        folder: Pictures; labels are used to judge what was learned, and for nothing else.
        name: Name of the weights: a-z, 0-9 and dashes.
        workspace_root: Folder that holds all that Sortline writes.
        scan: How the folder is read.
        pretrain: How it is learned, and for how long.
    """
    require_allowed(str(folder), str(workspace_root))
    workspace = Workspace.open(workspace_root)
    report = pretrain_network_task(folder, name, scan, pretrain, workspace)
    tell_pretraining(report)
    return report
