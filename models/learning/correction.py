"""Post-hoc logit adjustment: how far the training prior is taken back, chosen on the tune split.

`logits - strength * log(effective prior)` (Menon et al., arXiv 2007.07314, equation 9). A resample plan has
already taken part of the prior back, so the prior that counts is the one of what was drawn, never the raw one:
that is what keeps two corrections from overshooting.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.artifacts.records import Task, Trial
from models.learning.metrics import confusion_counts, objective_value

STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
Floats = NDArray[np.float64]


def log_offset(effective_prior: Floats, strength: float) -> Floats:
    """(K,) what is added to the logits; all zeros at strength 0."""
    offset = -strength * np.log(effective_prior)
    return np.asarray(offset - offset.mean())


def try_strengths(
    logits: Floats, true_index: NDArray[np.int64], prior: Floats, objective: str, regularisation: float | None
) -> list[Trial]:
    """One trial a strength on the tune split.

    Args:
        logits: (N, K) of the tune rows, without any offset.
        true_index: (N,) class positions.
        prior: (K,) effective prior of training.
        objective: a name in `metrics.OBJECTIVES`.
        regularisation: carried into the trials.
    """
    trials = []
    for strength in STRENGTHS:
        predicted = (logits + log_offset(prior, strength)).argmax(1)
        value = float(objective_value(confusion_counts(true_index, predicted, len(prior)), objective))
        trials.append(Trial(regularisation=regularisation, correction_strength=strength, objective=value))
    return trials


def best_trial(trials: list[Trial]) -> Trial:
    """The trial to keep: first the strength that is best on average over regularisations, then the best of those.

    One trial's score on a small tune split is mostly chance; the average over regularisations is steadier
    (benchmarks/results/heads.json compares both rules). Of equals the least corrected wins.
    """
    strengths = sorted({trial.correction_strength for trial in trials})
    scores = {s: [t.objective for t in trials if t.correction_strength == s] for s in strengths}
    strength = max(strengths, key=lambda s: (sum(scores[s]) / len(scores[s]), -s))
    rest = [trial for trial in trials if trial.correction_strength == strength]
    return max(rest, key=lambda t: (t.objective, t.regularisation or 0.0))


def without_offset(probabilities: Floats, offset: Floats) -> Floats:
    """(N, K) what the same model would have said without the offset; exact, since softmax is shift by shift."""
    raw = probabilities * np.exp(-offset)
    return np.asarray(raw / raw.sum(1, keepdims=True))


def without_offset_of(task: Task, probabilities: Floats, offset: Floats) -> Floats:
    """(N, K) what a model of that task would have said without the offset.

    Exact for sigmoid too: the offset multiplies the odds of each label. A probability that float32 rounded to 0 or 1
    stays there.
    """
    if task == "single_label":
        return without_offset(probabilities, offset)
    odds_part = probabilities * np.exp(-offset)
    return np.asarray(odds_part / (odds_part + (1 - probabilities)))
