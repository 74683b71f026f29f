"""One page about one batch and those before it: what moved, how far, and what that means. Opens offline."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from models.artifacts.durable import write_durably
from models.artifacts.records import DriftReport
from models.artifacts.workspace import Workspace
from models.drift.history import read_history, remember
from models.reports.drift_plots import share_bars, trend
from models.reports.page import page_environment

_SHOWN_BATCHES = 60


def file_drift(workspace: Workspace, report: DriftReport) -> Path | None:
    """Where the model's page lies once the report is in its history; None where no batch was measured yet."""
    folder = workspace.drift_dir(report.model_name)
    remember(folder, report)
    reports = read_history(folder)
    return write_drift_page(workspace.reports_dir, reports) if reports else None


def write_drift_page(folder: Path, reports: Sequence[DriftReport]) -> Path:
    """Where the page lies: self-contained HTML, no script, no request, every name escaped.

    Args:
        folder: of reports.
        reports: of one model, oldest batch first, at least one; the last is the one that the page is about.
    """
    report, shown = reports[-1], reports[-_SHOWN_BATCHES:]
    rows = [(m, share_bars(m), trend(shown, m.name, m.against)) for m in report.measures]
    page = page_environment().get_template("drift_page.html").render(report=report, rows=rows, history=shown[::-1])
    target = folder / f"{report.model_name}-drift.html"
    write_durably(target, page.encode())
    return target
