"""One page about weights that were learned without labels, and what they are worth. Opens offline."""

from __future__ import annotations

from pathlib import Path

from models.artifacts.durable import write_durably
from models.artifacts.pretrain_records import PretrainReport
from models.reports.page import page_environment


def write_pretrain_page(path: Path, report: PretrainReport) -> None:
    """Writes the page: self-contained HTML, no script, no request, every name escaped."""
    write_durably(path, page_environment().get_template("pretrain_page.html").render(report=report).encode())
