"""A candidate beside the champion, for people: rows of a table, and a page with the pictures they differ on."""

from __future__ import annotations

from pathlib import Path

from models.artifacts.durable import write_durably
from models.artifacts.judging_records import ShadowReport
from models.data.listing import safe_name
from models.reports.page import page_environment, thumbnail


def shadow_rows(report: ShadowReport) -> list[tuple[str, str]]:
    """Titles and values."""
    if report.failure or not (report.agreement and report.champion and report.candidate):
        return [("candidate", report.candidate_sha256[:12]), ("failed", report.failure or "nothing was compared")]
    low, high = report.agreement.low, report.agreement.high
    rows = [
        ("candidate", report.candidate_sha256[:12]),
        ("pictures compared", str(report.rows)),
        ("same answer", f"{report.agreement.value:.3f} ({low:.3f} to {high:.3f})"),
        ("mean score", f"{report.champion.mean_score:.3f}, candidate {report.candidate.mean_score:.3f}"),
        ("too unsure to be used", _both(report.champion.abstained, report.candidate.abstained)),
        ("unlike the training pictures", _both(report.champion.foreign, report.candidate.foreign)),
    ]
    rows += [("left out", f"{count} {reason}") for reason, count in report.left_out.items()]
    if report.not_asked:
        rows.append(("not asked (shadow.pictures)", str(report.not_asked)))
    return [*rows, *[(f"{c.label} to {c.predicted}", f"{c.rows} ({c.share:.3f} of them)") for c in report.changed[:5]]]


def write_shadow_page(folder: Path, name: str, pictures: Path, report: ShadowReport) -> Path:
    """Where the page lies: self-contained HTML, no script, no request, every name escaped.

    Args:
        folder: of reports.
        name: of the model.
        pictures: the folder that was scored.
        report: what was found.
    """
    labels = sorted({*report.champion.labels, *report.candidate.labels} if report.champion and report.candidate else ())
    page = (
        page_environment()
        .get_template("shadow_page.html")
        .render(
            name=name,
            folder=safe_name(str(pictures))[0],
            report=report,
            rows=shadow_rows(report),
            labels=labels,
            shown=[(found, thumbnail(pictures / found.path)) for found in report.differences],
        )
    )
    target = folder / f"{name}-shadow.html"
    write_durably(target, page.encode())
    return target


def _both(champion: int | None, candidate: int | None) -> str:
    left, right = ("-" if value is None else str(value) for value in (champion, candidate))
    return f"{left}, candidate {right}"
