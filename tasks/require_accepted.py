"""Stops a flow at a verdict that refuses."""

from __future__ import annotations

from prefect import task

from models.artifacts.records import Verdict
from models.artifacts.ref import ArtifactRef, read_record
from tasks.artifacts import show_verdict
from validation import verdicts


@task(name="require-accepted")
def require_accepted(verdict: ArtifactRef) -> None:
    """Shows a verdict in the UI, and raises GateFailed where it refuses."""
    found = read_record(verdict, Verdict)
    show_verdict(found)
    verdicts.require_accepted(found)
