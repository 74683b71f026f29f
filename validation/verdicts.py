"""From a verdict to yes, or to a refusal that names every rule that stood against it."""

from __future__ import annotations

from datetime import datetime

import pyarrow as pa

from models.artifacts.records import Finding, Verdict
from models.artifacts.ref import ARTIFACT_NAME_LENGTH, ArtifactRef, open_checked, seal, seal_record
from models.artifacts.tables import OFFENDERS, decode_table, encode_table
from models.artifacts.workspace import Workspace
from models.errors import GateFailed
from models.serving.bundle import Bundle
from models.serving.registry import Registry
from validation.suites import Judgement


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


def seal_judgement(workspace: Workspace, judgement: Judgement) -> ArtifactRef:
    """Address of a verdict, beside which the rows that broke its rules are sealed."""
    rows = judgement.offenders
    offenders = seal(workspace, "offenders", encode_table(rows), suffix=".parquet", rows=rows.num_rows)
    verdict = judgement.verdict.model_copy(update={"offenders_sha256": offenders.sha256})
    return seal_record(workspace, "verdict", verdict, rows=len(verdict.findings))


def open_offenders(workspace: Workspace, verdict: Verdict) -> pa.Table:
    """Table OFFENDERS of a sealed verdict; empty where it has none."""
    if not verdict.offenders_sha256:
        return OFFENDERS.empty_table()
    path = workspace.artifact_dir("offenders") / f"{verdict.offenders_sha256[:ARTIFACT_NAME_LENGTH]}.parquet"
    ref = ArtifactRef(kind="offenders", path=path, sha256=verdict.offenders_sha256, rows=0)
    return decode_table(open_checked(ref), OFFENDERS)


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
