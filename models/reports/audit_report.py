"""One page about a folder: what is in it, what every rule said, and the pictures that broke one. Opens offline."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from models.artifacts.records import Verdict
from models.data.listing import file_name
from models.data.split import row_classes, usable_rows
from models.reports.page import page_environment, status_counts, thumbnail

_SHOWN_PICTURES = 12
_SHOWN_FILES = 50
_QUANTILES = (0.0, 0.05, 0.5, 0.95, 1.0)
_MEASURED = ("width_px", "height_px", "size_bytes", "brightness", "contrast", "sharpness", "information")


class AuditRecords(NamedTuple):
    """What the report is made from; `label_issues` is None where label errors were not looked for."""

    folder: Path
    manifest: pa.Table
    verdict: Verdict
    offenders: pa.Table
    label_issues: pa.Table | None = None


class Gallery(NamedTuple):
    """Pictures that broke one rule.

    Attributes:
        rows: how many there are.
        pictures: the first of them: thumbnail, path, and a word on it.
    """

    rule: str
    severity: str
    rows: int
    pictures: list[tuple[str, str, str]]


def render_audit(records: AuditRecords) -> str:
    """Self-contained HTML: no script, no request, every name escaped."""
    return (
        page_environment()
        .get_template("audit_report.html")
        .render(
            folder=str(records.folder),
            verdict=records.verdict,
            files=records.manifest.num_rows,
            statuses=status_counts(records.manifest),
            classes=class_counts(records.manifest),
            unreadable=_unreadable(records.manifest),
            spreads=_spreads(records.manifest),
            galleries=galleries(records),
        )
    )


def class_counts(manifest: pa.Table) -> list[tuple[str, int, float]]:
    """(class, pictures, share of the pictures), largest first; of several labels each counts."""
    usable = usable_rows(manifest)
    counts: dict[str, int] = {}
    for labels in row_classes(usable):
        for label in labels:
            counts[label] = counts.get(label, 0) + 1
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [(label, count, count / max(usable.num_rows, 1)) for label, count in ordered]


def galleries(records: AuditRecords) -> list[Gallery]:
    """One gallery a rule that rows broke, in the order of the verdict."""
    by_path = {path: k for k, path in enumerate(records.manifest["path"].to_pylist())}
    kin = records.manifest["duplicate_group"].to_pylist()
    doubted = records.label_issues.to_pylist() if records.label_issues is not None else []
    doubts = {row["path"]: row for row in doubted}
    found = []
    for finding in records.verdict.findings:
        rows = records.offenders.filter(pc.equal(records.offenders["rule"], finding.rule))["path"].to_pylist()
        places = _together([by_path[path] for path in rows if path in by_path], kin)[:_SHOWN_PICTURES]
        shown = records.manifest.take(pa.array(places, pa.int64())).to_pylist()
        pictures = [
            (
                thumbnail(records.folder / file_name(row)) if row["status"] == "ok" else "",
                row["path"],
                _spoken(row, doubts.get(row["path"])),
            )
            for row in shown
        ]
        if rows:
            found.append(Gallery(finding.rule, finding.severity, len(rows), pictures))
    return found


def _together(places: list[int], kin: list[str | None]) -> list[int]:
    """The places with near copies beside the first of them; else in their order."""
    first: dict[str, int] = {}
    for place in places:
        if (group := kin[place]) is not None:
            first.setdefault(group, place)
    return sorted(places, key=lambda place: (first.get(kin[place] or "", place), place))


def _spoken(row: dict[str, object], doubt: dict[str, Any] | None) -> str:
    """A word on a row: its class and, where it is doubted, the class that was suggested."""
    label = str(row["label"] or "")
    if doubt is None:
        return label
    suggestion = f"{doubt['suggested_label']} ({doubt['suggested_score']:.2f})"
    return f"{label} ({doubt['label_score']:.2f}), looks like {suggestion}"


def _unreadable(manifest: pa.Table) -> list[dict[str, object]]:
    """The first files that are neither pictures nor left out on purpose."""
    bad = manifest.filter(pc.invert(pc.is_in(manifest["status"], pa.array(["ok", "ignored"]))))
    return list(bad.select(["path", "status", "reason", "size_bytes"]).slice(0, _SHOWN_FILES).to_pylist())


def _spreads(manifest: pa.Table) -> list[tuple[str, list[str]]]:
    """Quantiles of what was measured."""
    rows = []
    for name in _MEASURED:
        values = manifest[name].drop_null()
        if len(values):
            found = pc.quantile(values, q=list(_QUANTILES)).to_pylist()
            rows.append((name, [f"{value:.3f}" if max(found) <= 1 else f"{value:.0f}" for value in found]))
    return rows
