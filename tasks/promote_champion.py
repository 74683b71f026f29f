"""Makes a candidate champion, or writes down why not."""

from __future__ import annotations

from datetime import datetime

from prefect import task

from models.artifacts.records import Verdict
from models.artifacts.ref import ArtifactRef, read_record
from models.artifacts.workspace import Workspace
from models.serving.bundle import read_bundle
from models.serving.registry import Registry
from tasks.artifacts import show_verdict
from validation import verdicts


@task(name="promote-champion")
def promote_champion(bundle: ArtifactRef, verdict: ArtifactRef, at: datetime, workspace: Workspace) -> None:
    """Points the champion at a bundle that was accepted; raises GateFailed for one that was not."""
    found, candidate = read_record(verdict, Verdict), read_bundle(bundle.path.parent)
    show_verdict(found)
    verdicts.promote_or_refuse(Registry(workspace), candidate, found, at)
