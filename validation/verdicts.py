"""From a verdict to yes, or to a refusal that names every rule that stood against it."""

from __future__ import annotations

from datetime import datetime

from models.artifacts.records import Finding, Verdict
from models.errors import GateFailed
from models.serving.bundle import Bundle
from models.serving.registry import Registry


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


def promote_or_refuse(registry: Registry, bundle: Bundle, verdict: Verdict, at: datetime) -> None:
    """Makes an accepted bundle champion; a refused one is written into the history.

    Raises:
        GateFailed: the verdict refuses.
    """
    name = bundle.card.name
    try:
        require_accepted(verdict)
    except GateFailed as error:
        registry.refuse(name, bundle, at, str(error))
        raise
    registry.promote(name, bundle, at, "; ".join(map(describe_finding, verdict.findings)))
