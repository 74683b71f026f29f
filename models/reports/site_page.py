"""One page about what a model was adapted to at a site, and whether it earned its place. Opens offline."""

from __future__ import annotations

from pathlib import Path

from models.artifacts.durable import write_durably
from models.artifacts.site_records import SiteRecord, SiteReport
from models.reports.page import page_environment


def site_page_path(folder: Path, name: str, site: str) -> Path:
    """Where the page about a model at a site lies, below the folder of reports."""
    return folder / f"{name}-site-{site}.html"


def write_site_page(path: Path, report: SiteReport) -> None:
    """Writes the page: self-contained HTML, no script, no request, every name escaped."""
    page = page_environment().get_template("site_page.html").render(report=report, rows=site_rows(report.record))
    write_durably(path, page.encode())


def site_rows(record: SiteRecord) -> list[tuple[str, str]]:
    """Titles and values of what an adaptation is."""
    rows = [
        ("champion it belongs to", record.bundle_sha256[:12]),
        ("pictures of the site", f"{record.rows}, of which {record.labelled_rows} labelled"),
        ("embeddings brought to the champion's spread", "yes" if record.is_aligned else "no"),
        ("share of the champion's logits", f"{record.base_share:.2f}"),
        ("classes", ", ".join(record.classes)),
        ("new classes", ", ".join(record.new_classes) or "none"),
        ("classes left out", ", ".join(record.left_out) or "none"),
        ("scores are right for", _shares(record.classes, record.score_prior)),
        ("estimated mix at the site", _shares(record.classes, record.estimated_prior) or "too few pictures to tell"),
    ]
    proof = record.proof
    if proof is not None:
        rows += [
            ("balanced accuracy of the champion", f"{proof.base:.3f}"),
            ("balanced accuracy of the adaptation", f"{proof.adapted:.3f}, on {proof.rows} held-out pictures"),
            ("better in", f"{proof.sureness:.0%} of resamples, {proof.least_sureness:.0%} asked for"),
        ]
    return rows


def _shares(classes: tuple[str, ...], shares: tuple[float, ...]) -> str:
    return ", ".join(f"{label} {share:.2f}" for label, share in zip(classes, shares, strict=False))
