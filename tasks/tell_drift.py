"""Tells of drift: as a table in the Prefect UI, and as an event that automations can act on."""

from __future__ import annotations

import base64

from prefect.artifacts import create_image_artifact, create_table_artifact

from models.artifacts.records import DriftReport
from models.artifacts.ref import ArtifactRef, read_record
from models.reports.drift_plots import drift_picture
from tasks.artifacts import escape_markdown
from tasks.events import DRIFT_FOUND, tell_event


def tell_drift(drift: ArtifactRef, *, is_new: bool = True) -> None:
    """The measures as an artifact of the run; an event, where one of them moved in a new batch.

    Of a batch that was told of before there is none: what acts on events would go round in circles.
    """
    report = read_record(drift, DriftReport)
    create_table_artifact(drift_rows(report), key=f"drift-{report.model_name}", description=drift_line(report))
    picture = base64.b64encode(drift_picture(report).encode()).decode()
    if picture:
        address = f"data:image/svg+xml;base64,{picture}"
        create_image_artifact(address, f"drift-plot-{report.model_name}", "Blue: before; orange: this batch")
    moved = [f"{m.name} against {m.against}" for m in report.measures if m.status == "drift"]
    if moved and is_new:
        payload = {"rows": report.rows, "moved": moved, "out": report.out, "bundle_sha256": report.bundle_sha256}
        tell_event(DRIFT_FOUND, report.model_name, payload)


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
