"""Every number of a scorecard for weighted pictures: once as they are, and for each bootstrap sample of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.artifacts.judging_records import Shot
from models.judging import measure_counts as counts
from models.judging.bootstrap import Units, drawn_weights
from models.judging.measure_counts import Answers, Floats, Positions, ratio, sums_by, tally_of
from models.judging.ranking import ranking_values
from models.judging.slices import slice_values
from models.learning.evaluation_rows import Slice

CALIBRATION_BINS = 15
_LEAST_PROBABILITY = 1e-15
_CLASS_NUMBERS: Final = ("precision", "recall", "f1", "average_precision", "roc_auc")
Values = dict[str, Floats]


class Judged(NamedTuple):
    """Test pictures and what is asked of them.

    Attributes:
        true_index: (N,) class positions.
        probabilities: (N, K), rows sum to 1.
        prior: (K,) stated shares of deployment; null where none are.
        costs: (K, K) of a picture, row = true class; null where none are stated.
        shots: positions of the classes with many, medium or few train pictures.
    """

    true_index: Positions
    probabilities: Floats
    objective_name: str
    prior: Floats | None
    costs: Floats | None
    shots: Mapping[Shot, Positions]
    slices: tuple[Slice, ...]

    @property
    def answers(self) -> Answers:
        """True and most probable classes."""
        return Answers(self.true_index, self.probabilities.argmax(1), self.probabilities.shape[1])


def sampled_values(judged: Judged, units: Units, rng: np.random.Generator) -> Values:
    """The numbers of `values_of` for 1,000 bootstrap samples, which are the last axis of each."""
    blocks = [values_of(judged, weights) for weights in drawn_weights(units, rng)]
    return {name: np.concatenate([block[name] for block in blocks], axis=-1) for name in blocks[0]}


def values_of(judged: Judged, weights: Floats) -> Values:
    """Numbers of a scorecard by name, with R samples as the last axis; NaN where they are not defined.

    Numbers of classes are (K, R), of shot groups (G, R), of slices (S, 3, R), all others (R,).

    Args:
        judged: the pictures.
        weights: (N, R) how often each picture counts.
    """
    tally = tally_of(judged.answers, weights)
    recall = counts.recall(tally)
    groups = [counts.mean_of_told(recall[positions]) for positions in judged.shots.values()]
    return {
        "accuracy": counts.accuracy(tally),
        "balanced_accuracy": counts.balanced_accuracy(tally),
        "macro_f1": counts.macro_f1(tally),
        "weighted_f1": counts.weighted_f1(tally),
        "precision": counts.precision(tally),
        "recall": recall,
        "f1": counts.f1(tally),
        **_probability_values(judged, weights),
        **_ranking_values(judged, weights),
        **_deployment_values(judged, weights),
        "shots": np.stack(groups) if groups else np.empty((0, weights.shape[1])),
        "slices": slice_values(judged.slices, judged.answers, weights),
    }


def equal_width_bins(scores: Floats) -> Positions:
    """(N,) which of 15 bins of equal width each score in 0..1 falls into, as in `learning.metrics`."""
    return np.minimum((scores * CALIBRATION_BINS).astype(np.int64), CALIBRATION_BINS - 1)


def equal_mass_bins(scores: Floats) -> Positions:
    """(N,) which of at most 15 bins with about as many pictures each score falls into; equal scores share one."""
    shares = np.arange(1, CALIBRATION_BINS) / CALIBRATION_BINS
    return np.searchsorted(np.quantile(scores, shares, method="inverted_cdf"), scores, side="left").astype(np.int64)


def class_numbers(values: Values, position: int) -> Values:
    """What the numbers of one class are, by the names of their fields."""
    return {name: values[name][position] for name in _CLASS_NUMBERS}


def _probability_values(judged: Judged, weights: Floats) -> Values:
    """Log loss, Brier score, and calibration errors in the bins of the pictures as they are."""
    total, top = weights.sum(0), judged.probabilities.max(1)
    picked = judged.probabilities[np.arange(len(judged.true_index)), judged.true_index]
    # The sum over the classes of (probability - truth) squared.
    squares = (judged.probabilities**2).sum(1) - 2 * picked + 1
    gap = top - (judged.answers.predicted == judged.true_index)
    return {
        "log_loss": ratio(-np.log(np.clip(picked, _LEAST_PROBABILITY, 1)) @ weights, total),
        "brier": ratio(squares @ weights, total),
        "calibration_error": ratio(_gaps(equal_width_bins(top), gap, weights), total),
        "adaptive_calibration_error": ratio(_gaps(equal_mass_bins(top), gap, weights), total),
    }


def _gaps(place: Positions, gap: Floats, weights: Floats) -> Floats:
    """(R,) sums over the bins of how far scores and right answers are apart there."""
    return np.asarray(np.abs(sums_by(place, CALIBRATION_BINS, gap, np.arange(len(gap)), weights)).sum(0))


def _ranking_values(judged: Judged, weights: Floats) -> Values:
    rankings = [
        ranking_values(judged.true_index == k, judged.probabilities[:, k], weights)
        for k in range(judged.probabilities.shape[1])
    ]
    return {
        "average_precision": np.stack([found.average_precision for found in rankings]),
        "roc_auc": np.stack([found.roc_auc for found in rankings]),
    }


def _deployment_values(judged: Judged, weights: Floats) -> Values:
    """The objective and the cost of a picture, under the stated prior; the cost as the pictures are without one."""
    found: Values = {}
    if judged.prior is not None:
        weights = _under_prior(judged, judged.prior, weights)
        tally = tally_of(judged.answers, weights)
        # A class of no share has no pictures there: it does not count as one that is never found.
        mean_f1 = counts.macro_f1(tally) * len(judged.prior) / np.count_nonzero(judged.prior)
        objective = mean_f1 if judged.objective_name == "macro_f1" else counts.accuracy(tally)
        found["deployment_objective"] = np.where(np.isnan(weights).any(0), np.nan, objective)
    if judged.costs is not None:
        picture_costs = judged.costs[judged.true_index, judged.answers.predicted]
        found["expected_cost"] = ratio(picture_costs @ weights, weights.sum(0))
    return found


def _under_prior(judged: Judged, prior: Floats, weights: Floats) -> Floats:
    """(N, R) weights by which each class has its stated share; NaN where a class with a share has no picture."""
    support = sums_by(judged.true_index, len(prior), np.ones(len(weights)), np.arange(len(weights)), weights)
    is_absent = (support == 0) & (prior > 0)[:, None]
    scale = np.divide(prior[:, None], support, out=np.zeros_like(support), where=support > 0)
    scaled = weights * scale[judged.true_index]
    scaled[:, is_absent.any(0)] = np.nan
    return scaled


def stated_shots(classes: tuple[str, ...], train_rows: Mapping[str, int] | None) -> dict[Shot, NDArray[np.int64]]:
    """Positions of the classes with many, medium and few train pictures, but for groups without a class."""
    if train_rows is None:
        return {}
    shots = [shot_of(train_rows.get(label, 0)) for label in classes]
    names: tuple[Shot, ...] = ("many", "medium", "few")
    return {name: np.array([k for k, shot in enumerate(shots) if shot == name]) for name in names if name in shots}


def shot_of(train_rows: int) -> Shot:
    """Many above 100 train pictures, few below 20, medium between (Liu et al., arXiv 1904.05160)."""
    return "many" if train_rows > 100 else "few" if train_rows < 20 else "medium"
