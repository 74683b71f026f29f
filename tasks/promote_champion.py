"""Makes a candidate champion, or lets it wait for a person, or writes down why not."""

from __future__ import annotations

from datetime import datetime

from prefect import task

from models.artifacts.records import Verdict
from models.artifacts.ref import ArtifactRef, read_record
from models.artifacts.workspace import Workspace
from models.serving.bundle import read_bundle
from models.serving.registry import Registry
from tasks.artifacts import show_verdict
from tasks.tell_promotion import tell_promotion
from validation import verdicts

_NO_APPROVAL = verdicts.ApprovalSettings()


@task(name="promote-champion")
def promote_champion(
    bundle: ArtifactRef,
    verdict: ArtifactRef,
    at: datetime,
    workspace: Workspace,
    approval: verdicts.ApprovalSettings = _NO_APPROVAL,
) -> None:
    """Makes an accepted bundle champion, or the candidate where a person approves; raises GateFailed for another."""
    found, candidate = read_record(verdict, Verdict), read_bundle(bundle.path.parent)
    show_verdict(found)
    registry = Registry(workspace)
    before = registry.champion(candidate.card.name)
    promotion = verdicts.promote_or_refuse(registry, candidate, found, at, approval, verdict.sha256)
    tell_promotion(candidate, promotion, is_new=before is None or before.bundle_sha256 != candidate.sha256)
