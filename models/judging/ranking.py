"""How well the scores of a class rank its pictures before all others, for many bootstrap samples at once."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.judging.measure_counts import Floats, ratio, sums_by


class Ranking(NamedTuple):
    """Numbers of one class in each sample, (R,); NaN where the sample holds none of the class, or no other.

    Attributes:
        average_precision: area under the steps of precision by recall; NaN only without a picture of the class.
        roc_auc: chance that a picture of the class has a higher score than another one; ties count half.
    """

    average_precision: Floats
    roc_auc: Floats


def ranking_values(is_class: NDArray[np.bool_], scores: Floats, weights: Floats) -> Ranking:
    """Both numbers of one class against the rest.

    Scores are put in order once: a sample only counts each picture more or less often. Of all scores only those that
    a picture of the class has are steps at which something is added; what lies between two steps is one sum.

    Args:
        is_class: (N,) whether a picture is of the class.
        scores: (N,) of the class, higher is surer.
        weights: (N, R) how often each picture is in each sample.
    """
    rows, positives = np.arange(len(scores)), np.flatnonzero(is_class)
    steps, step = np.unique(-scores[positives], return_inverse=True)
    # Gap, step, gap, step, ..., gap: a score that is a step's is counted once on its left and once more on its right.
    place = np.searchsorted(steps, -scores, side="left") + np.searchsorted(steps, -scores, side="right")
    above = sums_by(place, 2 * len(steps) + 1, np.ones(len(rows)), rows, weights).cumsum(0)
    new_hits = sums_by(step, len(steps), np.ones(len(positives)), positives, weights)
    hits, until, before = new_hits.cumsum(0), above[1::2], above[:-1:2]
    all_hits = new_hits.sum(0)
    all_misses = above[-1] - all_hits
    beaten = all_misses - (until - hits + before - (hits - new_hits)) / 2
    precision = np.nan_to_num(ratio(hits, until))
    return Ranking(
        ratio((new_hits * precision).sum(0), all_hits), ratio((new_hits * beaten).sum(0), all_hits * all_misses)
    )
