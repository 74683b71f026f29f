"""One page about one run: what the data were, what the model can do, what became of the inbox. Opens offline."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from models.artifacts.records import DriftReport, ModelCard, Scorecard, ScoreSummary, Verdict
from models.data.resample import plan_summary
from models.data.split import TEST, TRAIN, TUNE, row_classes
from models.reports.page import page_environment, status_counts, thumbnail

_INBOX_THUMBNAILS = 12
_PROBLEM_ROWS = 50


class RunRecords(NamedTuple):
    """What a report is made from; the last three are None where no inbox was scored."""

    folder: Path
    card: ModelCard
    scorecard: Scorecard
    manifest: pa.Table
    split: pa.Table
    plan: pa.Table
    data_verdict: Verdict
    split_verdict: Verdict
    gate_verdict: Verdict
    summary: ScoreSummary | None = None
    predictions: pa.Table | None = None
    drift: DriftReport | None = None


def render_report(records: RunRecords) -> str:
    """Self-contained HTML: no script, no request, every name escaped."""
    template = page_environment().get_template("run_report.html")
    return template.render(
        **records._asdict(),
        class_rows=class_rows(records.split, records.plan),
        statuses=status_counts(records.manifest),
        mistakes=[(m, thumbnail(records.folder / m.path)) for m in records.scorecard.worst_mistakes],
        problems=_problems(records.predictions),
        inbox=_inbox_pictures(records),
    )


def class_rows(split: pa.Table, plan: pa.Table) -> list[dict[str, object]]:
    """Rows of each class in each split, and what an epoch draws of it before and after resampling."""
    counted = Counter(
        (label, place)
        for labels, place in zip(row_classes(split), split["split"].to_pylist(), strict=True)
        for label in labels
    )
    return [
        {**draws._asdict(), **{place: counted[draws.label, place] for place in (TRAIN, TUNE, TEST)}}
        for draws in plan_summary(plan)
    ]


def _problems(predictions: pa.Table | None) -> list[dict[str, object]]:
    """Rows without a label, with the reason why."""
    if predictions is None:
        return []
    rows = predictions.filter(pc.not_equal(predictions["status"], "ok")).slice(0, _PROBLEM_ROWS)
    return list(rows.select(["path", "status", "reason", "size_bytes"]).to_pylist())


def _inbox_pictures(records: RunRecords) -> list[tuple[dict[str, object], str]]:
    """The inbox pictures that the model is least sure of, with their thumbnails."""
    if records.predictions is None or records.summary is None:
        return []
    scored = records.predictions.filter(pc.equal(records.predictions["status"], "ok"))
    least = scored.sort_by("margin").slice(0, _INBOX_THUMBNAILS).select(["path", "label", "score", "margin"])
    folder = Path(records.summary.folder)
    return [(row, thumbnail(folder / row["path"])) for row in least.to_pylist()]
