"""A person's word on the model that waits: its parameters are the form."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from prefect import flow

from flows.places import require_allowed
from models.artifacts.workspace import Workspace
from models.serving.decisions import named_deed
from tasks.decide_candidate import decide_candidate


@flow(name="approve-candidate", persist_result=False, timeout_seconds=600)
def approve_candidate(
    name: str,
    decision: Literal["approve", "reject"],
    by: str,
    reason: str,
    bundle: str = "",
    workspace_root: Path = Path("workspace"),
) -> str:
    """Digest of the candidate that is champion now, or that was rejected.

    Args:
        name: Name of the model.
        decision: Approved, the candidate becomes champion; rejected, the champion stays.
        by: Who decides; the history keeps it.
        reason: Why; the history keeps it.
        bundle: How the digest of the candidate begins that was looked at; refused where another one waits by now.
        workspace_root: Folder that holds all that Sortline writes.
    """
    require_allowed(str(workspace_root))
    deed = named_deed(datetime.now(UTC), by, reason)
    return decide_candidate(name, decision, deed, bundle, Workspace.open(workspace_root))
