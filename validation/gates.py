"""Gates on a candidate: better than guessing, and not worse than the champion on the very same pictures.

Cold start: without a champion the first rule alone decides. A rule that cannot judge is `unknown`, and blocks.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from models.artifacts.records import ClassScore, Finding, Interval, Outcome, Scorecard, Verdict
from models.learning.multi_label_metrics import paired_gain
from models.settings import Settings

LEAST_CLASS_ROWS = 3


class GateSettings(Settings):
    """What a candidate has to reach."""

    min_macro_f1: float = Field(
        default=0.0, ge=0, le=1, description="Macro-F1 on test, below which it is refused.", title="Least macro-F1"
    )
    max_loss_to_champion: float = Field(
        default=0.05,
        ge=0,
        le=1,
        description="Balanced accuracy that may be lost to the champion, at the lower 95 % bound.",
        title="Loss to champion",
    )
    min_class_rows: int = Field(
        default=10, ge=1, description="Test pictures of a class, below which it warns.", title="Class minimum"
    )


class Comparison(NamedTuple):
    """Both models' predictions of the same test rows.

    Attributes:
        true_index: (N,) class positions.
        candidate: (N,) predicted positions.
        champion: (N,) predicted positions.
    """

    true_index: NDArray[np.int64]
    candidate: NDArray[np.int64]
    champion: NDArray[np.int64]


class LabelComparison(NamedTuple):
    """Both models' decisions about the labels of the same test rows.

    Attributes:
        targets: (N, K), whether a label applies.
        candidate: (N, K), whether it was given.
        champion: (N, K), whether it was given.
    """

    targets: NDArray[np.bool_]
    candidate: NDArray[np.bool_]
    champion: NDArray[np.bool_]


def judge_candidate(
    scorecard: Scorecard, has_champion: bool, comparison: Comparison | LabelComparison | None, settings: GateSettings
) -> Verdict:
    """Every gate's finding on a candidate.

    Args:
        scorecard: the candidate's.
        has_champion: False at a cold start.
        comparison: both on the same rows; None where classes, split or task differ, so that nothing can be
            compared.
        settings: the limits.
    """
    findings = [_beats_guessing(scorecard), _reaches(scorecard, settings), _has_rows(scorecard, settings)]
    if has_champion:
        findings.append(_not_worse(comparison, settings))
    return Verdict(subject="candidate", findings=tuple(findings))


def paired_difference(comparison: Comparison | LabelComparison, seed: int = 0, rounds: int = 1000) -> Interval:
    """Candidate's minus champion's balanced accuracy, with its paired 95 % bootstrap interval (in -1..1)."""
    if isinstance(comparison, LabelComparison):
        # Not the share of right decisions: where labels are rare, a model that gives none would hardly lose any.
        return paired_gain(*comparison, seed=seed, rounds=rounds)
    rng = np.random.default_rng(seed)
    gain = (comparison.candidate == comparison.true_index).astype(np.float64)
    gain -= comparison.champion == comparison.true_index
    by_class = [gain[comparison.true_index == k] for k in np.unique(comparison.true_index)]
    samples = np.mean([rng.choice(g, (rounds, len(g))).mean(1) for g in by_class], axis=0)
    low, high = np.quantile(samples, [0.025, 0.975])
    return Interval(value=float(np.mean([g.mean() for g in by_class])), low=float(low), high=float(high))


def _beats_guessing(scorecard: Scorecard) -> Finding:
    is_multi = scorecard.task == "multi_label"
    chance = 0.5 if is_multi else 1 / len(scorecard.classes)
    found = scorecard.served.balanced_accuracy
    needed = f"{LEAST_CLASS_ROWS} test pictures {'with each label and without it' if is_multi else 'a class'}"
    # Drawn within a class of one or two pictures, a bootstrap has hardly any spread, and would accept luck.
    can_judge = min(_support(scorecard, c) for c in scorecard.served.per_class) >= LEAST_CLASS_ROWS
    return Finding(
        rule="better_than_guessing",
        severity="critical",
        outcome=_outcome(found.low > chance) if can_judge else "unknown",
        observed=f"balanced accuracy {found.value:.3f}, lower bound {found.low:.3f}",
        limit=f"lower bound above {chance:.3f}, what guessing gives, on {needed}",
    )


def _support(scorecard: Scorecard, score: ClassScore) -> int:
    """Test pictures of a class; of a label those that have it or those that lack it, whichever are fewer."""
    rest = scorecard.served.rows - score.support
    return min(score.support, rest) if scorecard.task == "multi_label" else score.support


def _reaches(scorecard: Scorecard, settings: GateSettings) -> Finding:
    found = scorecard.served.macro_f1.value
    return Finding(
        rule="macro_f1_reached",
        severity="critical",
        outcome=_outcome(found >= settings.min_macro_f1),
        observed=f"macro-F1 {found:.3f}",
        limit=f"at least {settings.min_macro_f1:.3f}",
    )


def _has_rows(scorecard: Scorecard, settings: GateSettings) -> Finding:
    smallest = min(_support(scorecard, c) for c in scorecard.served.per_class)
    what = "fewest test pictures with or without a label:" if scorecard.task == "multi_label" else "smallest class has"
    unit = "" if scorecard.task == "multi_label" else " test pictures"
    few = [c for c in scorecard.served.per_class if _support(scorecard, c) < settings.min_class_rows]
    return Finding(
        rule="classes_are_judged_on_enough",
        severity="warning",
        outcome=_outcome(not few),
        observed=f"{what} {smallest}{unit}",
        limit=f"at least {settings.min_class_rows}",
        items=tuple(c.label for c in few),
    )


def _not_worse(comparison: Comparison | LabelComparison | None, settings: GateSettings) -> Finding:
    limit = f"lower bound at least {-settings.max_loss_to_champion:.3f}"
    rule = "not_worse_than_champion"
    if comparison is None:
        observed = "the champion has other classes, split or task: nothing can be compared; take another --name"
        return Finding(rule=rule, severity="critical", outcome="unknown", observed=observed, limit=limit)
    gain = paired_difference(comparison)
    return Finding(
        rule=rule,
        severity="critical",
        outcome=_outcome(gain.low >= -settings.max_loss_to_champion),
        observed=f"balanced accuracy {gain.value:+.3f}, lower bound {gain.low:+.3f}",
        limit=limit,
    )


def _outcome(kept: bool) -> Outcome:
    return "passed" if kept else "failed"
