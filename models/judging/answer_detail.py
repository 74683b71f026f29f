"""What the answer rules of a model did on test pictures that it never saw."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from models.artifacts.judging_records import AnswerDetail, AnswerRules, ClassCoverage, ClassThreshold, Measure
from models.judging.abstention import area_under_risk_coverage
from models.judging.conformal import prediction_sets

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
_FOREIGN = 1.0


class Judged(NamedTuple):
    """Test pictures with one label each.

    Attributes:
        true_index: (N,) class positions.
        probabilities: (N, K), rows sum to 1.
        ood_score: (N,), NaN where the model cannot tell.
    """

    true_index: NDArray[np.int64]
    probabilities: Floats
    ood_score: Floats


def answer_detail(judged: Judged, rules: AnswerRules) -> AnswerDetail:
    """Coverage of each class, risk and share of the answers given, and false alarms about foreign pictures.

    Intervals of shares are Wilson's (1927).
    """
    true_index, probabilities, ood_score = judged
    risk_score, is_wrong = 1 - probabilities.max(1), probabilities.argmax(1) != true_index
    limit = np.inf if rules.max_abstention is None else rules.max_abstention
    is_answered = risk_score <= limit
    sets = prediction_sets(probabilities, rules.thresholds)
    told = ood_score[~np.isnan(ood_score)]
    return AnswerDetail(
        per_class=tuple(
            _class_coverage(threshold, sets[true_index == k], k) for k, threshold in enumerate(rules.thresholds)
        ),
        risk=share_of(is_wrong[is_answered]),
        answered=share_of(is_answered),
        answered_by_class=tuple(share_of(is_answered[true_index == k]) for k in range(len(rules.thresholds))),
        area_under_risk_coverage=area_under_risk_coverage(risk_score, is_wrong),
        ood_false_alarm_rate=share_of(told > _FOREIGN),
    )


def share_of(flags: Flags) -> Measure:
    """Share of what is true, with Wilson's 95 % interval; null without rows."""
    rows = len(flags)
    if not rows:
        return Measure(value=None, rows=0)
    found = stats.binomtest(int(flags.sum()), rows).proportion_ci(0.95, method="wilson")
    return Measure(value=float(flags.mean()), low=float(found.low), high=float(found.high), rows=rows)


def _class_coverage(threshold: ClassThreshold, sets: Flags, position: int) -> ClassCoverage:
    return ClassCoverage(
        label=threshold.label,
        rows=len(sets),
        calibration_rows=threshold.rows,
        basis=threshold.basis,
        coverage=share_of(sets[:, position]),
        mean_set_size=float(sets.sum(1).mean()) if len(sets) else None,
    )
