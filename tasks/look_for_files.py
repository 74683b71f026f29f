"""Whether a folder has files that a run would score."""

from __future__ import annotations

from datetime import UTC, datetime

from prefect import task

from models.artifacts.places import place_of, whole
from models.artifacts.workspace import Workspace
from models.serving.commit import OutputStore
from models.serving.folder_files import FolderFiles
from models.serving.registry import Registry
from models.serving.scoring_settings import ScoringSettings
from models.serving.sites import open_scorer
from tasks.healing import can_heal


@task(name="look-for-files", retries=2, retry_delay_seconds=[5, 30], retry_condition_fn=can_heal)
def look_for_files(folder: str, name: str, out: str, settings: ScoringSettings, workspace: Workspace) -> bool:
    """Whether a file lies there that is old enough and has no row from the champion; the first one ends the look."""
    bundle = open_scorer(Registry(workspace), name, settings)
    files = FolderFiles(whole(place_of(folder)), (OutputStore(place_of(out)), bundle.sha256), settings.shard_rows)
    return next(files.new_files(lambda: datetime.now(UTC), settings.settle_seconds), None) is not None
