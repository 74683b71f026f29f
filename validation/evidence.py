"""What the rules on a candidate look at, and what each of them says."""

from __future__ import annotations

from typing import NamedTuple

from models.artifacts.judging_records import RobustnessReport
from models.artifacts.records import ClassScore, Interval, Outcome, Scorecard
from validation.paired import Comparison, LabelComparison


class Evidence(NamedTuple):
    """All that is known of a candidate.

    Attributes:
        scorecard: its numbers on test.
        objective_name: what training aimed at: macro_f1, balanced_accuracy or accuracy.
        tune_objective: that number on tune; None where it is not known.
        size_bytes: of the served model; None where it was not looked at.
        latency_ms: median of single pictures; None where it was not measured.
        robustness: None where it was not examined.
        comparison: candidate and champion on the same rows; None where there is no champion, or where nothing can
            be compared.
    """

    scorecard: Scorecard
    objective_name: str = "macro_f1"
    tune_objective: float | None = None
    size_bytes: int | None = None
    latency_ms: float | None = None
    robustness: RobustnessReport | None = None
    comparison: Comparison | LabelComparison | None = None


class Judged(NamedTuple):
    """What a rule found; the fields are those of a Finding."""

    outcome: Outcome
    observed: str
    limit: str
    do: str
    items: tuple[str, ...] = ()


class NotAsked(NamedTuple):
    """Why a rule was not asked."""

    reason: str


Answer = Judged | NotAsked


def outcome_of(kept: bool) -> Outcome:
    """Passed where a limit is kept, else failed."""
    return "passed" if kept else "failed"


def support_of(scorecard: Scorecard, score: ClassScore) -> int:
    """Test pictures of a class; of a label those that have it or those that lack it, whichever are fewer."""
    rest = scorecard.served.rows - score.support
    return min(score.support, rest) if scorecard.task == "multi_label" else score.support


def objective_of(evidence: Evidence) -> Interval:
    """What training aimed at, on test, with its 95 % interval."""
    scores = evidence.scorecard.served
    named = {
        "macro_f1": scores.macro_f1,
        "balanced_accuracy": scores.balanced_accuracy,
        "accuracy": scores.accuracy,
    }
    return named[evidence.objective_name]
