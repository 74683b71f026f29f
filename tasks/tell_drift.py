"""Tells of drift: as a table in the Prefect UI, and as an event that automations can act on."""

from __future__ import annotations

from prefect.artifacts import create_table_artifact
from prefect.events import emit_event

from models.artifacts.records import DriftReport
from models.artifacts.ref import ArtifactRef, read_record
from tasks.artifacts import escape_markdown

DRIFT_FOUND = "sortline.drift.found"


def tell_drift(drift: ArtifactRef) -> None:
    """The measures as an artifact of the run; an event, where one of them moved."""
    report = read_record(drift, DriftReport)
    create_table_artifact(drift_rows(report), key=f"drift-{report.model_name}", description=drift_line(report))
    moved = [f"{m.name} against {m.against}" for m in report.measures if m.status == "drift"]
    if moved:
        emit_event(
            event=DRIFT_FOUND,
            resource={
                "prefect.resource.id": f"sortline.model.{report.model_name}",
                "prefect.resource.name": report.model_name,
            },
            payload={"rows": report.rows, "moved": moved, "out": report.out, "bundle_sha256": report.bundle_sha256},
        )


def drift_rows(report: DriftReport) -> list[dict[str, str]]:
    """One row a measure."""
    return [
        {
            "measure": m.name.replace("_", " "),
            "against": m.against,
            "status": m.status.replace("_", " "),
            "distance": "-" if m.distance is None else f"{m.distance:.3f}",
            "limit": "-" if m.limit is None else f"{m.limit:.3f}",
            "detail": escape_markdown(m.explanation),
        }
        for m in report.measures
    ]


def drift_line(report: DriftReport) -> str:
    """The batch in a sentence."""
    return f"{report.rows} scored pictures: {report.status.replace('_', ' ')}"
