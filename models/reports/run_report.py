"""One page about one run: what the data were, what the model can do, what became of the inbox. Opens offline."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from models.artifacts.records import DriftReport, ModelCard, Scorecard, ScoreSummary, Verdict
from models.data.split import TEST, TRAIN, TUNE
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
        class_rows=class_rows(records.split, records.card),
        statuses=status_counts(records.manifest),
        mistakes=[(m, thumbnail(records.folder / m.path)) for m in records.scorecard.worst_mistakes],
        problems=_problems(records.predictions),
        inbox=_inbox_pictures(records),
    )


def class_rows(split: pa.Table, card: ModelCard) -> list[dict[str, object]]:
    """Rows of each class in each split, and its share before and after resampling."""
    counted = split.group_by(["label", "split"]).aggregate([("path", "count")]).to_pylist()
    rows: dict[str, dict[str, object]] = {
        label: {"label": label, "prior": prior, "drawn": drawn, TRAIN: 0, TUNE: 0, TEST: 0}
        for label, prior, drawn in zip(card.classes, card.train_prior, card.effective_prior, strict=True)
    }
    for entry in counted:
        rows[entry["label"]][entry["split"]] = entry["path_count"]
    return list(rows.values())


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
