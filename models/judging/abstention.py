"""When not to answer: a limit of the risk score by which the answers that are given are right as often as was asked."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from models.artifacts.judging_records import RiskPoint

_CONFIDENCE = 0.95
_CURVE_POINTS = 40
_LOOKS = 20
Floats = NDArray[np.float64]


class Abstention(NamedTuple):
    """A limit, and what it does on the rows that it was chosen on.

    Attributes:
        limit: of the risk score; above it no answer is given; below 0 none ever.
        coverage: share of the rows that are answered.
        risk_bound: upper 95 % bound of the share of wrong answers; null where no row is answered.
    """

    limit: float
    coverage: float
    risk_bound: float | None


def risk_bound(wrong: int, answered: int) -> float:
    """Upper bound of a share of errors (Clopper and Pearson 1934); 1 where nothing was answered."""
    if wrong >= answered:
        return 1.0
    return float(stats.beta.ppf(_CONFIDENCE, wrong + 1, answered - wrong))


def limit_for_risk(risk_score: Floats, is_wrong: NDArray[np.bool_], target_risk: float) -> Abstention:
    """The limit of the largest coverage whose risk is shown to be at most the target.

    Coverages are looked at from small to large in steps of 5 %, up to the first whose risk is not shown: such a fixed
    sequence needs no larger bound for its many looks (arXiv 2110.01052, section 3.2). It starts where right answers
    alone would show the risk.

    Args:
        risk_score: (N,) of rows that the model has not learned from, higher is worse.
        is_wrong: (N,) whether the answer is wrong.
        target_risk: share of wrong answers among those given, 0..1.
    """
    scores, wrong = _ordered(risk_score, is_wrong)
    found = Abstention(-1.0, 0.0, None)
    for look in range(1, _LOOKS + 1):
        limit = float(scores[max(math.ceil(look / _LOOKS * len(scores)), 1) - 1])
        answered = int(np.searchsorted(scores, limit, side="right"))
        if risk_bound(0, answered) > target_risk:
            continue
        bound = risk_bound(int(wrong[:answered].sum()), answered)
        if bound > target_risk:
            break
        found = Abstention(limit, answered / len(scores), bound)
    return found


def limit_for_coverage(risk_score: Floats, is_wrong: NDArray[np.bool_], coverage: float) -> Abstention:
    """The limit that answers a stated share of the rows, or a little more where scores are equal."""
    scores, wrong = _ordered(risk_score, is_wrong)
    limit = float(scores[max(math.ceil(coverage * len(scores)), 1) - 1])
    answered = int(np.searchsorted(scores, limit, side="right"))
    return Abstention(limit, answered / len(scores), risk_bound(int(wrong[:answered].sum()), answered))


def risk_coverage_curve(risk_score: Floats, is_wrong: NDArray[np.bool_]) -> tuple[RiskPoint, ...]:
    """At most 40 points from little coverage to all of it; rows of one score are answered together."""
    scores, wrong = _ordered(risk_score, is_wrong)
    if not len(scores):
        return ()
    ends = np.flatnonzero(np.append(np.diff(scores) > 0, True)) + 1
    shown = ends[np.unique(np.linspace(0, len(ends) - 1, _CURVE_POINTS).astype(int))]
    errors = wrong.cumsum()
    return tuple(RiskPoint(coverage=n / len(scores), risk=float(errors[n - 1] / n)) for n in shown.tolist())


def area_under_risk_coverage(risk_score: Floats, is_wrong: NDArray[np.bool_]) -> float | None:
    """Mean risk over all coverages (AURC, Geifman et al., arXiv 1805.08206); null without rows."""
    scores, wrong = _ordered(risk_score, is_wrong)
    if not len(scores):
        return None
    # Of equal scores nobody knows which is answered first: each stands for their mean.
    _, group = np.unique(scores, return_inverse=True)
    mean = np.bincount(group, wrong) / np.bincount(group)
    return float((mean[group].cumsum() / np.arange(1, len(scores) + 1)).mean())


def _ordered(risk_score: Floats, is_wrong: NDArray[np.bool_]) -> tuple[Floats, NDArray[np.float64]]:
    order = np.argsort(risk_score, kind="stable")
    return risk_score[order], is_wrong[order].astype(np.float64)
