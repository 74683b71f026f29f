"""One page about one run: what the data were, what the model can do, what became of the inbox. Opens offline."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from models.artifacts.records import Correction, DriftReport, ModelCard, Scorecard, ScoreSummary, Trial, Verdict
from models.data.resample import plan_summary
from models.data.split import TEST, TRAIN, TUNE, row_classes
from models.reports.curves import learning_curves
from models.reports.page import page_environment, status_counts, thumbnail

_INBOX_THUMBNAILS = 12
_PROBLEM_ROWS = 50
_SHOWN_TRIALS = 40
# How much better a model may be on the pictures it learned from before the report calls it learned by heart.
MOST_GAP = 0.15


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
        trials=shown_trials(records.card.correction),
        curves=learning_curves(records.card.epochs, records.card.correction.objective_name),
        gap=objective_gap(records.card),
        most_gap=MOST_GAP,
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


def shown_trials(correction: Correction) -> list[tuple[Trial, bool]]:
    """What was tried on tune, the best first, and whether it was chosen; the chosen one is there in any case."""
    chosen = (correction.regularisation, correction.name, correction.strength)
    marked = [(t, (t.regularisation, t.correction, t.correction_strength) == chosen) for t in correction.trials]
    marked.sort(key=lambda row: (-row[0].objective, not row[1]))
    left_out = [row for row in marked[_SHOWN_TRIALS:] if row[1]][:1]
    return [*marked[: _SHOWN_TRIALS - len(left_out)], *left_out]


def objective_gap(card: ModelCard) -> float | None:
    """How much better the objective is on train than on tune; None where one of them was not measured."""
    if card.train_objective is None or card.tune_objective is None:
        return None
    return round(card.train_objective - card.tune_objective, 6)


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
    least = scored.sort_by("margin").slice(0, _INBOX_THUMBNAILS).select(["path", "label", "labels", "score", "margin"])
    folder = Path(records.summary.folder)
    return [(row, thumbnail(folder / row["path"])) for row in least.to_pylist()]
