"""One page about one run: what the data were, what the model can do, what became of the inbox. Opens offline."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Mapping
from itertools import groupby
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from models.artifacts.judging_records import (
    AnswerDetail,
    AnswerRules,
    Details,
    RiskPoint,
    RobustnessReport,
    SliceDetail,
)
from models.artifacts.records import (
    Correction,
    DriftReport,
    Mistake,
    ModelCard,
    Scorecard,
    ScoreSummary,
    Trial,
    Verdict,
)
from models.data.resample import plan_summary
from models.data.split import TEST, TRAIN, TUNE, row_classes
from models.reports import plots
from models.reports.curves import learning_curves
from models.reports.page import page_environment, picture_address, status_counts, thumbnail

_INBOX_THUMBNAILS = 12
_SUSPECT_THUMBNAILS = 24
_OVERLAY_PX = 240
_PROBLEM_ROWS = 50
_SHOWN_TRIALS = 40
# How much better a model may be on the pictures it learned from before the report calls it learned by heart.
MOST_GAP = 0.15


class RunRecords(NamedTuple):
    """What a report is made from; what has a default is left out of the page where it is not there.

    Attributes:
        label_errors: pictures whose own label is doubted: `predicted` is the likelier one, at `score`.
        overlays: by path as in a mistake, a PNG of what the model looked at there.
        waits_for_approval: whether a person has to approve the model before scoring uses it.
    """

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
    robustness: RobustnessReport | None = None
    label_errors: tuple[Mistake, ...] = ()
    overlays: Mapping[str, bytes] = MappingProxyType({})
    waits_for_approval: bool = False


class ShownMistake(NamedTuple):
    """A mistake with its picture and what the model looked at, as data addresses; empty where there is none."""

    mistake: Mistake
    picture: str
    overlay: str


def render_report(records: RunRecords) -> str:
    """Self-contained HTML: no script, no request, every name escaped."""
    template = page_environment().get_template("run_report.html")
    return template.render(**records._asdict(), **_drawn(records), **_listed(records))


def _drawn(records: RunRecords) -> dict[str, object]:
    """The plots and pictures of the page."""
    card, scorecard = records.card, records.scorecard
    points = card.answers.risk_coverage if card.answers else ()
    is_multi = scorecard.task == "multi_label"
    return {
        "mark": plots.interval_mark,
        "curves": learning_curves(card.epochs, card.correction.objective_name),
        "reliability": plots.reliability_diagram(scorecard.reliability, "that applies" if is_multi else "right"),
        "risk_coverage": plots.risk_coverage_plot(
            points, chosen_point(card.answers), measured_point(scorecard.answers)
        ),
        "mistakes": _shown(records, scorecard.worst_mistakes),
        "suspects": _shown(records, records.label_errors[:_SUSPECT_THUMBNAILS]),
        "inbox": _inbox_pictures(records),
    }


def _listed(records: RunRecords) -> dict[str, object]:
    """The tables of the page."""
    return {
        "class_rows": class_rows(records.split, records.plan),
        "trials": shown_trials(records.card.correction),
        "gap": objective_gap(records.card),
        "most_gap": MOST_GAP,
        "statuses": status_counts(records.manifest),
        "slices": slice_groups(records.scorecard.details),
        "problems": _problems(records.predictions),
    }


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


def slice_groups(details: Details | None) -> list[tuple[str, list[SliceDetail]]]:
    """Slices by the column that they are cut by, in the order they come."""
    if details is None:
        return []
    return [(column, list(group)) for column, group in groupby(details.slices, key=lambda part: part.column)]


def chosen_point(rules: AnswerRules | None) -> RiskPoint | None:
    """The point of the curve where the model stops to answer; None where it never does."""
    if rules is None or rules.max_abstention is None or not rules.risk_coverage:
        return None
    return min(rules.risk_coverage, key=lambda point: abs(point.coverage - rules.coverage))


def measured_point(answers: AnswerDetail | None) -> RiskPoint | None:
    """What test pictures say of coverage and risk; None where that is not known."""
    if answers is None or answers.risk.value is None or answers.answered.value is None:
        return None
    return RiskPoint(coverage=answers.answered.value, risk=answers.risk.value)


def _shown(records: RunRecords, mistakes: tuple[Mistake, ...]) -> list[ShownMistake]:
    return [
        ShownMistake(mistake, thumbnail(records.folder / mistake.path), _overlay(records.overlays.get(mistake.path)))
        for mistake in mistakes
    ]


def _overlay(png: bytes | None) -> str:
    if png is None:
        return ""
    with Image.open(io.BytesIO(png)) as picture:
        return picture_address(picture, _OVERLAY_PX)


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
