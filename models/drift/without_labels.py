"""What can be told of a batch without its labels: the mix of its classes, and how many answers are right.

Both follow where the mix of classes changed and each class still looks as it did (label shift). Whether that is so is
tested: the scores, the likeness to the training pictures and what the pictures look like have to be those of the test
pictures once these are weighted by the new mix. Where they are not, nothing is claimed.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from models.artifacts.records import AccuracyEstimate, ClassMix, ClassShare
from models.drift.batches import NUMBERS, probabilities_of, properties_of, properties_of_baseline
from models.drift.distances import compare, kolmogorov_smirnov, number_counts
from models.drift.settings import DriftSettings
from models.learning.evaluation_rows import class_positions, probability_rows
from models.serving.bundle import Bundle
from models.serving.class_prior import Calibration, PriorShift, fit_calibration, with_prior

Floats = NDArray[np.float64]
_ROUNDS, _MOST_ROWS = 100, 20_000
_STEPS, _STEP_ENOUGH = 500, 1e-5
# So many rows of the old mix are believed beside those of the batch: a class that is not seen keeps a share.
_BELIEVED_ROWS = 1.0
_ALPHA, _LEAST_SD = 0.01, 1e-6


class _Batch(NamedTuple):
    """Scored rows: calibrated scores for the old mix (N, K), what was answered (N,), and what is compared (N,)."""

    probabilities: Floats
    answered: NDArray[np.int64]
    numbers: dict[str, Floats]


class _Known(NamedTuple):
    """The test pictures: the same, and their true classes (N,)."""

    rows: _Batch
    true_index: NDArray[np.int64]


class _Draws(NamedTuple):
    """(R,) accuracies and (R, K) mixes of redrawn test pictures and batches."""

    accuracy: Floats
    mix: Floats


class _Estimate(NamedTuple):
    """The old mix (K,), the new one (K,), how sure it is, and what it leaves unexplained."""

    prior: Floats
    mix: Floats
    draws: _Draws
    unexplained: str


def judge_without_labels(
    batch: pa.Table, bundle: Bundle, settings: DriftSettings, prior: PriorShift
) -> tuple[AccuracyEstimate, ClassMix]:
    """Estimated accuracy and mix of the scored rows of a batch.

    Args:
        batch: rows as `batch_rows` gives them.
        bundle: that scored them.
        settings: what is asked for.
        prior: by which the rows were corrected.
    """
    scored = batch.filter(pc.equal(batch["status"], "ok"))
    if bundle.card.task == "multi_label" or len(bundle.card.classes) < 2:
        return _untold("unknown", "told for models that give one of several classes a picture")
    if bundle.site is not None:
        return _untold("unknown", "told for a champion as it is; a site has too few labels to test it by")
    rows = min(scored.num_rows, bundle.baseline.num_rows)
    if rows < settings.min_rows:
        return _untold("not_enough_data", f"{rows} pictures, at least {settings.min_rows} are needed")
    known, calibration = _known(bundle, prior)
    found = _scored(scored, bundle, prior, calibration)
    rng = np.random.default_rng(settings.seed)
    mix = estimated_mix(found.probabilities, calibration.prior)
    told = _Estimate(
        prior=calibration.prior,
        mix=mix,
        draws=_redrawn(known, found, mix, rng),
        unexplained=_unexplained(known, found, mix / calibration.prior, settings, rng),
    )
    return _accuracy(known, found, told, settings), _mix(bundle.card.classes, told, settings)


def estimated_mix(probabilities: Floats, prior: Floats) -> Floats:
    """(K,) the most likely shares of the classes, by expectation and maximisation.

    Args:
        probabilities: (N, K) calibrated scores for the old mix.
        prior: (K,) the old mix.
    """
    mix = prior
    for _ in range(_STEPS):
        expected = with_prior(probabilities, prior, mix).sum(0) + _BELIEVED_ROWS * prior
        following = expected / expected.sum()
        if np.abs(following - mix).max() < _STEP_ENOUGH:
            return np.asarray(following)
        mix = following
    return np.asarray(mix)


def _known(bundle: Bundle, prior: PriorShift) -> tuple[_Known, Calibration]:
    classes = bundle.card.classes
    served, true_index = probability_rows(bundle.baseline, len(classes)), class_positions(bundle.baseline, classes)
    calibration = prior.calibration or fit_calibration(served, true_index)
    answers = prior.apply(served)
    numbers = properties_of_baseline(bundle, answers).numbers
    rows = _Batch(calibration.apply(served), answers.argmax(1), numbers)
    return _Known(rows, true_index), calibration


def _scored(scored: pa.Table, bundle: Bundle, prior: PriorShift, calibration: Calibration) -> _Batch:
    step = 1 + scored.num_rows // _MOST_ROWS
    scored = scored.take(pa.array(np.arange(0, scored.num_rows, step)))
    served = probabilities_of(scored, bundle.card.classes)
    return _Batch(prior.undo(served, calibration), served.argmax(1), properties_of(scored).numbers)


def _redrawn(known: _Known, found: _Batch, mix: Floats, rng: np.random.Generator) -> _Draws:
    """Both samples redrawn, and the calibration fitted anew: neither is known better than by its rows."""
    accuracies, mixes = np.empty(_ROUNDS), np.empty((_ROUNDS, len(mix)))
    for k in range(_ROUNDS):
        mine = rng.integers(0, len(known.true_index), len(known.true_index))
        theirs = rng.integers(0, len(found.answered), len(found.answered))
        again = fit_calibration(known.rows.probabilities[mine], known.true_index[mine])
        probabilities = again.apply(found.probabilities[theirs])
        mixes[k] = estimated_mix(probabilities, again.prior)
        accuracies[k] = _expected_accuracy(probabilities, found.answered[theirs], again.prior, mixes[k])
    return _Draws(accuracies, mixes)


def _expected_accuracy(probabilities: Floats, answered: NDArray[np.int64], prior: Floats, mix: Floats) -> float:
    """Mean probability, under the new mix, that what was answered is right."""
    return float(with_prior(probabilities, prior, mix)[np.arange(len(answered)), answered].mean())


def _weighted_accuracy(known: _Known, ratio: Floats) -> float:
    """Accuracy on the test pictures once they are weighted by the new mix."""
    weights = ratio[known.true_index]
    return float(weights[known.rows.answered == known.true_index].sum() / weights.sum())


def _unexplained(known: _Known, found: _Batch, ratio: Floats, settings: DriftSettings, rng: np.random.Generator) -> str:
    """Which property of the batch a new mix does not explain; empty where there is none."""
    weights = ratio[known.true_index]
    # Weighted rows tell as much as so many plain ones (Kish).
    weights = weights * weights.sum() / (weights**2).sum()
    for name, left in known.rows.numbers.items():
        right = found.numbers[name]
        if not (np.isfinite(left).any() and np.isfinite(right).any()):
            continue
        compared = compare(number_counts(left, right, weights), kolmogorov_smirnov, settings.bootstrap_rounds, rng)
        if compared.distance > settings.effect / 2 and compared.p_value < _ALPHA / len(NUMBERS):
            return f"{name} is {compared.distance:.2f} away from what a new mix of classes explains"
    return ""


def _accuracy(known: _Known, found: _Batch, told: _Estimate, settings: DriftSettings) -> AccuracyEstimate:
    value = _expected_accuracy(found.probabilities, found.answered, told.prior, told.mix)
    other = _weighted_accuracy(known, told.mix / told.prior)
    low, high = (float(end) for end in np.quantile(told.draws.accuracy, [0.025, 0.975]))
    why = told.unexplained
    if not why and max(value - low, high - value) > settings.accuracy_within:
        why = f"it is between {low:.2f} and {high:.2f}: more pictures, or more test pictures, would tell"
    if not why and abs(other - value) > settings.accuracy_within:
        why = f"two ways to estimate it differ: {value:.2f} and {other:.2f}"
    if why:
        return AccuracyEstimate(status="unknown", explanation=why)
    return AccuracyEstimate(
        status="known", value=value, low=low, high=high, explanation=f"by test pictures weighted alike {other:.3f}"
    )


def _mix(classes: tuple[str, ...], told: _Estimate, settings: DriftSettings) -> ClassMix:
    lows, highs = np.quantile(told.draws.mix, [0.025, 0.975], axis=0)
    numbers = zip(classes, told.prior, told.mix, lows, highs, strict=True)
    shares = tuple(
        ClassShare(label=label, baseline=float(old), share=float(new), low=float(low), high=float(high))
        for label, old, new, low, high in numbers
    )
    if told.unexplained:
        return ClassMix(status="unknown", shares=shares, explanation=told.unexplained)
    # One of several classes is easily off by chance.
    surprise = np.abs(told.mix - told.prior) / np.maximum(told.draws.mix.std(0), _LEAST_SD)
    is_sure = surprise.max() > NormalDist().inv_cdf(1 - settings.false_alarm_share / (2 * len(classes)))
    moved = float(np.abs(told.mix - told.prior).sum() / 2)
    is_shifted = is_sure and moved > settings.effect
    says = f"{moved:.2f} of the pictures are of other classes than before" if is_shifted else "as before"
    return ClassMix(status="shifted" if is_shifted else "same", shares=shares, explanation=says)


def _untold(status: str, why: str) -> tuple[AccuracyEstimate, ClassMix]:
    told = {"status": status, "explanation": why}
    return AccuracyEstimate.model_validate(told), ClassMix.model_validate(told)
