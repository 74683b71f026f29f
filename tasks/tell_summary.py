"""Tells what a scoring run did: as a table in the Prefect UI, and as an event where files failed."""

from __future__ import annotations

from prefect.artifacts import create_table_artifact

from models.artifacts.records import ScoreSummary
from models.artifacts.ref import ArtifactRef, read_record
from tasks.artifacts import escape_markdown
from tasks.events import FILES_FAILED, tell_event

# Statuses of files that are no pictures by their nature.
_NOT_FAILED = ("ok", "ignored")


def tell_summary(summary: ArtifactRef) -> int:
    """New rows of a run, whose counts are an artifact now; an event, where files could not be scored."""
    told = read_record(summary, ScoreSummary)
    rows = [{"": title, "value": escape_markdown(text)} for title, text in summary_rows(told)]
    create_table_artifact(rows, key=f"scored-{told.model_name}", description="What became of the folder")
    failed = {status: n for status, n in told.rows_by_status.items() if status not in _NOT_FAILED}
    if failed and told.rows_scored:
        payload = {"folder": told.folder, "out": told.out, "files": told.files, "failed": failed}
        tell_event(FILES_FAILED, told.model_name, payload)
    return told.rows_scored


def summary_rows(told: ScoreSummary) -> list[tuple[str, str]]:
    """Titles and values."""
    rows = [("folder", told.folder), ("files", str(told.files)), ("new rows", str(told.rows_scored))]
    rows += [(f"rows {status}", str(count)) for status, count in told.rows_by_status.items()]
    rows += [(f"predicted {label}", str(count)) for label, count in told.labels.items()]
    return [*rows, ("left for the next run", str(told.deferred)), ("files a second", f"{told.images_per_s:.0f}")]
