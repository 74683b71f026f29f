"""Carries out what a person decided about a candidate."""

from __future__ import annotations

from prefect import task

from models.artifacts.workspace import Workspace
from models.serving import decisions
from models.serving.history import Deed
from models.serving.registry import Registry
from tasks.events import CHAMPION_CHANGED, tell_event


@task(name="decide-candidate")
def decide_candidate(name: str, decision: decisions.Decision, deed: Deed, bundle: str, workspace: Workspace) -> str:
    """Digest of the bundle that was decided about."""
    digest = decisions.decide(Registry(workspace), name, decision, deed, bundle)
    if decision == "approve":
        tell_event(CHAMPION_CHANGED, name, {"bundle_sha256": digest})
    return digest
