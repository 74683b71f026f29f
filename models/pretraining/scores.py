"""How good features are: by the labels that there are, with the simplest of judges; and whether they have collapsed."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.learning.head import HeadData, fit_head, head_logits
from models.learning.losses import plain_loss
from models.learning.training_settings import HeadSettings

_NEIGHBOURS, _TEMPERATURE = 20, 0.1
# Of directions spread evenly over a sphere of D dimensions the deviation of one number is D^-0.5.
_COLLAPSED_BELOW = 0.1
_PROBE = HeadSettings(members=1, hidden_width=0, steps=300, input_dropout=0, hidden_dropout=0)
Floats = NDArray[np.float64]


class FeatureScores(NamedTuple):
    """What is told of features.

    Attributes:
        spread: deviation of the numbers of embeddings of length 1, over that of even directions; near 0: collapsed.
        knn_accuracy: of nearest neighbours on held-out labelled pictures; None without labels.
        probe_accuracy: of a linear layer on the same; None without labels.
    """

    spread: float
    knn_accuracy: float | None = None
    probe_accuracy: float | None = None

    @property
    def is_collapsed(self) -> bool:
        """Whether all pictures have become alike."""
        return self.spread < _COLLAPSED_BELOW


class LabelledRows(NamedTuple):
    """Rows with a label: positions (N,), classes (N,), and (N,) whether they are held out."""

    positions: NDArray[np.int64]
    class_index: NDArray[np.int64]
    is_held: NDArray[np.bool_]


def feature_scores(features: NDArray[np.float32], labelled: LabelledRows | None, seed: int = 0) -> FeatureScores:
    """The scores of features (N, D).

    Args:
        features: of all pictures.
        labelled: those with a label; None where there are too few.
        seed: of the linear layer.
    """
    rows = features.astype(np.float64)
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    spread = float(rows.std(0).mean() * rows.shape[1] ** 0.5)
    if labelled is None:
        return FeatureScores(spread)
    known, held = labelled.positions[~labelled.is_held], labelled.positions[labelled.is_held]
    taught, asked = labelled.class_index[~labelled.is_held], labelled.class_index[labelled.is_held]
    count = int(labelled.class_index.max()) + 1
    knn = knn_classes(rows[known], taught, rows[held], count) == asked
    data = HeadData(features[known], np.eye(count, dtype=np.float32)[taught], np.ones(len(known)))
    probe = head_logits(features[held], fit_head(data, _PROBE, plain_loss(count), 0.03, seed)).argmax(1) == asked
    return FeatureScores(spread, float(knn.mean()), float(probe.mean()))


def knn_classes(known: Floats, class_index: NDArray[np.int64], asked: Floats, count: int) -> NDArray[np.int64]:
    """(M,) classes of rows by their 20 nearest, weighted by exp(cosine / 0.1) (Wu et al., arXiv 1805.01978).

    Args:
        known: (N, D) of length 1.
        class_index: (N,) their classes.
        asked: (M, D) of length 1.
        count: of classes.
    """
    likeness = asked @ known.T
    nearest = np.argsort(-likeness, axis=1, kind="stable")[:, :_NEIGHBOURS]
    weight = np.exp(np.take_along_axis(likeness, nearest, 1) / _TEMPERATURE)
    votes = np.zeros((len(asked), count))
    for k in range(count):
        votes[:, k] = (weight * (class_index[nearest] == k)).sum(1)
    return np.asarray(votes.argmax(1), dtype=np.int64)
