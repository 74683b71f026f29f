"""Scores for another mix of classes than that of the pictures a model was judged on.

Where only the mix changes, and every class looks as before, the right scores follow from the old ones by Bayes' rule
(Saerens et al., Neural Computation 14, 2002). The old ones have to be calibrated for it: a temperature and a bias a
class are fitted on the bundle's own test pictures (Alexandari et al., arXiv 1901.06852).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.errors import SettingsError
from models.learning.evaluation_rows import class_positions, probability_rows
from models.serving.bundle import Bundle

Floats = NDArray[np.float64]
# How far temperature and biases are expected from changing nothing before any row was seen.
_SCALE_SD, _BIAS_SD = 0.5, 1.0
_NEWTON_STEPS, _STEP_ENOUGH, _LONGEST_STEP = 50, 1e-6, 1.0
_LEAST = 1e-12
_SUM_TOLERANCE = 0.01


class Calibration(NamedTuple):
    """What makes scores honest on the pictures that a bundle was judged on.

    Attributes:
        scale: times the logarithm of each score.
        bias: (K,) added behind it.
        prior: (K,) shares of the classes among those pictures, none of them 0.
    """

    scale: float
    bias: Floats
    prior: Floats

    def apply(self, probabilities: Floats) -> Floats:
        """(N, K) calibrated scores."""
        return softmax(self.scale * np.log(np.maximum(probabilities, _LEAST)) + self.bias)


class PriorShift(NamedTuple):
    """Scores for another mix; without a calibration nothing is changed.

    Attributes:
        calibration: of the bundle.
        prior: (K,) shares of the classes that are expected.
    """

    calibration: Calibration | None = None
    prior: Floats = np.zeros(0)

    def apply(self, probabilities: Floats) -> Floats:
        """(N, K) scores for the new mix."""
        if self.calibration is None:
            return probabilities
        return with_prior(self.calibration.apply(probabilities), self.calibration.prior, self.prior)

    def undo(self, probabilities: Floats, calibration: Calibration) -> Floats:
        """(N, K) calibrated scores for the old mix, out of what was served."""
        if self.calibration is None:
            return calibration.apply(probabilities)
        return with_prior(probabilities, self.prior, self.calibration.prior)


NO_PRIOR = PriorShift()


def with_prior(probabilities: Floats, old: Floats, new: Floats) -> Floats:
    """(N, K) scores under another prior, by Bayes' rule."""
    weighted = probabilities * (new / old)
    return np.asarray(weighted / np.maximum(weighted.sum(-1, keepdims=True), _LEAST))


def fit_calibration(probabilities: Floats, true_index: NDArray[np.int64]) -> Calibration:
    """The most likely temperature and biases, given the rows and a prior around those that change nothing.

    Args:
        probabilities: (N, K) as served.
        true_index: (N,) positions of the true classes.
    """
    logs, count = np.log(np.maximum(probabilities, _LEAST)), probabilities.shape[1]
    wanted, values = np.eye(count)[true_index], np.append(1.0, np.zeros(count))
    for _ in range(_NEWTON_STEPS):
        step = _newton_step(logs, wanted, values)
        values = values - step
        if np.abs(step).max() < _STEP_ENOUGH:
            break
    rows = np.bincount(true_index, minlength=count) + 1.0
    return Calibration(float(values[0]), values[1:], rows / rows.sum())


def _newton_step(logs: Floats, wanted: Floats, values: Floats) -> Floats:
    """(K + 1,) how far scale and biases are from the best ones, by slope and curvature of the loss, which is convex."""
    answers = softmax(values[0] * logs + values[1:])
    gaps, inside = answers - wanted, (answers * logs).sum(1, keepdims=True)
    pull = _pull(len(values))
    slope = np.append((gaps * logs).sum(), gaps.sum(0)) + pull * (values - np.append(1.0, np.zeros(len(values) - 1)))
    curve = np.diag(np.append((answers * (logs - inside) ** 2).sum(), answers.sum(0)) + pull)
    curve[1:, 1:] -= answers.T @ answers
    curve[0, 1:] = curve[1:, 0] = (answers * (logs - inside)).sum(0)
    step = np.linalg.solve(curve, slope)
    # Far from the best a whole step may overshoot.
    return np.asarray(step * min(1.0, _LONGEST_STEP / max(float(np.abs(step).max()), _LEAST)))


def _pull(size: int) -> Floats:
    """(K + 1,) how strongly scale and biases are held where they change nothing."""
    return np.append(1 / _SCALE_SD**2, np.full(size - 1, 1 / _BIAS_SD**2))


def prior_shift(bundle: Bundle, wished: Sequence[str]) -> PriorShift:
    """What turns a bundle's scores into those for a stated mix; nothing where none is stated.

    Args:
        bundle: with the test pictures that it was judged on.
        wished: texts of the form `class=share`, one for every class.

    Raises:
        SettingsError: a class is missing or unknown, a share is not one, or they do not sum to 1.
    """
    if not wished:
        return NO_PRIOR
    classes = bundle.card.classes
    if bundle.card.task == "multi_label":
        raise _refused("a class prior for a model of several labels", "a model that gives one label a picture")
    shares = np.array([_shares(wished).get(label, np.nan) for label in classes])
    if set(_shares(wished)) != set(classes) or not (shares > 0).all() or abs(shares.sum() - 1) > _SUM_TOLERANCE:
        raise _refused(
            f"a class prior of {', '.join(wished)}", f"a share above 0 for each of {', '.join(classes)}, 1 in all"
        )
    if bundle.site is not None:
        # What a site's labels could tell is in its scores already, and they are few.
        old = np.array(bundle.card.effective_prior)
        return PriorShift(Calibration(1.0, np.zeros(len(classes)), old), shares / shares.sum())
    known = bundle.baseline
    calibration = fit_calibration(probability_rows(known, len(classes)), class_positions(known, classes))
    return PriorShift(calibration, shares / shares.sum())


def softmax(logits: Floats) -> Floats:
    """(N, K) shares."""
    raised = np.exp(logits - logits.max(-1, keepdims=True))
    return np.asarray(raised / raised.sum(-1, keepdims=True))


def _shares(wished: Sequence[str]) -> dict[str, float]:
    pairs = [text.rpartition("=") for text in wished]
    try:
        return {label: float(share) for label, _, share in pairs}
    except ValueError as error:
        raise _refused(f"a class prior of {', '.join(wished)}", "texts like good=0.9") from error


def _refused(found: str, expected: str) -> SettingsError:
    return SettingsError(found, expected, "Set scoring.class_prior=good=0.9,broken=0.1 with the model's own classes.")
