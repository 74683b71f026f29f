"""Verdicts as tables in the Prefect UI."""

from __future__ import annotations

from prefect.artifacts import create_table_artifact

from models.artifacts.records import Verdict

_ESCAPES = str.maketrans({c: f"\\{c}" for c in "\\`*_{}[]()#+!|<>~"})


def show_verdict(verdict: Verdict) -> None:
    """One table row a rule."""
    rows = [
        {
            "rule": finding.rule,
            "severity": finding.severity,
            "outcome": finding.outcome,
            "observed": escape_markdown(finding.observed),
            "limit": finding.limit,
            "items": escape_markdown(", ".join(finding.items[:5])),
            "what to do": "" if finding.outcome == "passed" else finding.do,
        }
        for finding in verdict.findings
    ]
    create_table_artifact(key=f"verdict-{verdict.subject}", table=rows, description=f"Verdict on the {verdict.subject}")


def escape_markdown(text: str) -> str:
    """Text that markdown shows as it is; file names come from outside."""
    return text.replace("\n", " ").translate(_ESCAPES)
