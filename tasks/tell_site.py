"""Tells of an adaptation: as a table in the Prefect UI, and as an event that automations can act on."""

from __future__ import annotations

from prefect.artifacts import create_table_artifact

from models.artifacts.ref import ArtifactRef, read_record
from models.artifacts.site_records import SiteReport
from models.reports.site_page import site_rows
from tasks.artifacts import escape_markdown
from tasks.events import SITE_ADAPTED, SITE_REFUSED, tell_event


def tell_site(report: ArtifactRef) -> bool:
    """Whether the adaptation was accepted."""
    found = read_record(report, SiteReport)
    record = found.record
    rows = [{"": title, "value": escape_markdown(text)} for title, text in site_rows(record)]
    key = f"site-{record.model_name}-{record.site}"
    create_table_artifact(rows, key=key, description=escape_markdown(f"{found.reason}. Page: {found.page}"))
    payload = {"site": record.site, "site_sha256": found.site_sha256, "reason": found.reason}
    tell_event(SITE_ADAPTED if found.is_accepted else SITE_REFUSED, record.model_name, payload)
    return found.is_accepted
