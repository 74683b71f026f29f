"""From a verdict to yes, or to a refusal that names every rule that stood against it."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from models.artifacts.records import Finding, Verdict
from models.errors import GateFailed
from models.serving.bundle import Bundle
from models.serving.history import Deed
from models.serving.registry import Registry
from models.settings import Settings

Promotion = Literal["champion", "candidate"]


class ApprovalSettings(Settings):
    """Whether a person has the last word."""

    # Not `required`: Prefect takes a parameter of that name for a word of its schema.
    by_person: bool = Field(
        default=False,
        title="A person approves",
        description="An accepted model waits as candidate until somebody runs `sortline models approve`.",
    )


def require_accepted(verdict: Verdict) -> None:
    """Lets an accepted verdict pass.

    Raises:
        GateFailed: naming rule, value and limit of every critical finding.
    """
    if verdict.is_accepted:
        return
    against = "; ".join(map(describe_finding, verdict.blocking)) or "no rule was asked"
    raise GateFailed(
        f"the {verdict.subject} was refused by {len(verdict.blocking)} rule(s): {against}",
        "every critical rule to pass",
        "Mend what they name, or change their limits knowingly with --set.",
    )


def describe_finding(finding: Finding) -> str:
    """One line: rule, outcome, value, limit, and the first things that broke it."""
    some = f", first: {', '.join(finding.items[:3])}" if finding.items else ""
    return f"{finding.rule} {finding.outcome}: {finding.observed} ({finding.limit}{some})"


def promote_or_refuse(
    registry: Registry,
    bundle: Bundle,
    verdict: Verdict,
    at: datetime,
    approval: ApprovalSettings,
    verdict_sha256: str = "",
) -> Promotion:
    """What an accepted bundle has become; a refused one is written into the history.

    A bundle that somebody went back from does not become champion by being trained again: it waits for a person, as
    all do where approval is required.

    Args:
        registry: holds the champion.
        bundle: that was judged.
        verdict: on it.
        at: UTC.
        approval: whether a person has the last word.
        verdict_sha256: digest of the sealed verdict.

    Raises:
        GateFailed: the verdict refuses.
    """
    name = bundle.card.name
    try:
        require_accepted(verdict)
    except GateFailed as error:
        registry.refuse(name, bundle, at, str(error), verdict_sha256=verdict_sha256)
        raise
    reason = "; ".join(map(describe_finding, verdict.findings))
    if approval.by_person or bundle.sha256 in registry.snapshot(name).standing.withdrawn:
        registry.propose(name, bundle, Deed(at, reason, verdict_sha256=verdict_sha256))
        return _promotion(registry, bundle)
    registry.promote(name, bundle, at, reason, verdict_sha256=verdict_sha256)
    return "champion"


def _promotion(registry: Registry, bundle: Bundle) -> Promotion:
    """Champion where the same bundle was approved before; else it waits."""
    champion = registry.champion(bundle.card.name)
    is_champion = champion is not None and champion.bundle_sha256 == bundle.sha256
    return "champion" if is_champion else "candidate"
