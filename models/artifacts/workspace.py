"""The one place that spells the names of folders inside a workspace."""

from __future__ import annotations

import uuid
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from models.artifacts.durable import make_folder, storage_errors


class Workspace(BaseModel):
    """The folder that holds all that Sortline writes."""

    model_config = ConfigDict(frozen=True)

    root: Path

    @classmethod
    def open(cls, root: Path) -> Workspace:
        """The workspace at `root`, made where missing and proved writable.

        Raises:
            StorageError: the folder cannot be made or written.
        """
        root = root.expanduser().absolute()
        make_folder(root)
        probe = root / f".tmp-probe-{uuid.uuid4().hex}"
        with storage_errors(root, "written"):
            probe.touch()
            probe.unlink()
        return cls(root=root)

    def artifact_dir(self, kind: str) -> Path:
        """Where sealed files of one kind lie, named by their digest."""
        return self.root / "artifacts" / kind

    def model_dir(self, name: str) -> Path:
        """Where the bundles and the history of one model lie."""
        return self.root / "models" / name

    @property
    def models_dir(self) -> Path:
        """Where all models lie."""
        return self.root / "models"

    @property
    def features_dir(self) -> Path:
        """Where the features of frozen networks are kept, by network and picture."""
        return self.root / "features"

    @property
    def states_dir(self) -> Path:
        """Where the states of unfinished trainings are kept."""
        return self.root / "training"

    @property
    def weights_dir(self) -> Path:
        """Where weights lie that were learned without labels."""
        return self.root / "weights"

    @property
    def tuning_dir(self) -> Path:
        """Where it is kept how models run fastest on which machine."""
        return self.root / "tuning"

    @property
    def cache_dir(self) -> Path:
        """Where Prefect keeps which inputs gave which artifact."""
        return self.root / "cache"

    @property
    def prefect_dir(self) -> Path:
        """Where Prefect keeps its own database when it runs in process."""
        return self.root / "prefect"

    def drift_dir(self, name: str) -> Path:
        """Where the drift reports of one model lie, one a batch."""
        return self.root / "drift" / name

    @property
    def reports_dir(self) -> Path:
        """Where the pages for people lie."""
        return self.root / "reports"

    @property
    def quarantine_dir(self) -> Path:
        """Where lists of files to leave out lie."""
        return self.root / "quarantine"

    @property
    def crashes_dir(self) -> Path:
        """Where the traceback of an unexpected error is kept."""
        return self.root / "crashes"

    @property
    def demo_dir(self) -> Path:
        """Where the demo writes its pictures."""
        return self.root / "demo"
