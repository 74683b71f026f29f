"""Carries out what a person decided about a candidate."""

from __future__ import annotations

from prefect import task

from models.artifacts.workspace import Workspace
from models.serving import decisions
from models.serving.history import Deed
from models.serving.registry import Registry


@task(name="decide-candidate")
def decide_candidate(name: str, decision: decisions.Decision, deed: Deed, bundle: str, workspace: Workspace) -> str:
    """Digest of the bundle that was decided about."""
    return decisions.decide(Registry(workspace), name, decision, deed, bundle)
