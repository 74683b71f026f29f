"""Post-hoc logit adjustment: how far the training prior is taken back, chosen on the tune split.

`logits - strength * log(effective prior)` (Menon et al., arXiv 2007.07314, equation 9). A resample plan has
already taken part of the prior back, so the prior that counts is the one of what was drawn, never the raw one:
that is what keeps two corrections from overshooting.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, softmax

from models.artifacts.records import ModelCard, Task, Trial

STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
# What theory says for balanced recall (equation 6 of the paper) and for accuracy; half way for F1, which lies between.
EXPECTED_STRENGTHS = {"balanced_accuracy": 1.0, "macro_f1": 0.5, "accuracy": 0.0}
Floats = NDArray[np.float64]


def log_offset(effective_prior: Floats, strength: float) -> Floats:
    """(K,) what is added to the logits; all zeros at strength 0."""
    offset = -strength * np.log(effective_prior)
    return np.asarray(offset - offset.mean())


def choose_trial(trials: list[Trial], resampled: Floats, expected: float) -> int:
    """Position of the trial to keep: of the strengths that tune cannot tell from the best, the one nearest to theory.

    A strength is judged by its average over regularisations, and cannot be told from the best where it is behind by
    no more than one standard error of the difference. On a small tune split, one trial's score is mostly chance
    (benchmarks/heads.py compares the rules). Of that strength the best trial is kept; of equals the most
    regularised.

    Args:
        trials: of several strengths, each with the same regularisations.
        resampled: (T, B) objective of every trial on B resamples of tune, the same for all; B may be 0.
        expected: the strength that theory says.
    """
    strengths = sorted({trial.correction_strength for trial in trials})
    rows = [[t for t, trial in enumerate(trials) if trial.correction_strength == s] for s in strengths]
    value = np.array([np.mean([trials[t].objective for t in row]) for row in rows])
    samples = np.array([resampled[row].mean(0) for row in rows])
    distance = np.abs(np.array(strengths) - expected)
    best = min(range(len(rows)), key=lambda k: (-value[k], distance[k], strengths[k]))
    error = (samples[best] - samples).std(1) if resampled.shape[1] else np.zeros(len(rows))
    alike = [k for k in range(len(rows)) if value[best] - value[k] <= error[k]]
    kept = min(alike, key=lambda k: (distance[k], strengths[k]))
    return max(rows[kept], key=lambda t: (trials[t].objective, trials[t].regularisation or 0.0))


def served_probabilities(logits: NDArray[np.float32], card: ModelCard) -> Floats:
    """(N, K) what is served for logits (N, K) that are neither corrected nor calibrated."""
    rows = calibrated_logits(logits.astype(np.float64), card)
    if card.task == "multi_label":
        return np.asarray(expit(rows))
    return np.asarray(softmax(rows, axis=1))


def calibrated_logits(logits: Floats, card: ModelCard) -> Floats:
    """(N, K) logits as they are served."""
    scale, bias = card.calibration.class_scale, card.calibration.class_bias
    if scale:
        logits = logits * np.array(scale) + np.array(bias)
    return np.asarray((logits + np.array(card.correction.log_offset)) / card.calibration.temperature)


def served_offset(card: ModelCard) -> Floats:
    """(K,) what the correction adds to the logits behind the calibration."""
    return np.asarray(card.correction.log_offset) / card.calibration.temperature


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
