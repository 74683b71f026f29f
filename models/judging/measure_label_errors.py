"""Which labels of test pictures look wrong, by the model that was trained without them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from models.artifacts.records import Mistake, ModelCard
from models.learning.evaluation_rows import class_positions, probability_rows

# Equal probabilities have a mean that may differ in the last digit.
_ROUNDING = 1e-9


def suspected_label_errors(evaluation: pa.Table, card: ModelCard) -> tuple[Mistake, ...]:
    """Test pictures whose label the model doubts, most doubtful first; empty with several labels a picture.

    The rule of confident learning (Northcutt et al., arXiv 1911.00068): pictures of a class have a mean probability of
    it. A label is doubted where its probability is below the mean of its class, and that of another class reaches that
    class's mean; the most probable of those is `predicted`. `learning.label_errors` judges all pictures of a folder by
    models that never saw them, and prunes as many as the counts of doubt say; this needs neither a training nor
    cleanlab, and lists every picture that the rule meets.

    Args:
        evaluation: table EVALUATION of the test split.
        card: of the model that it is of.
    """
    if card.task == "multi_label" or not evaluation.num_rows:
        return ()
    classes, rows = card.classes, np.arange(evaluation.num_rows)
    true_index, probabilities = class_positions(evaluation, classes), probability_rows(evaluation, len(classes))
    own = probabilities[rows, true_index]
    support = np.bincount(true_index, minlength=len(classes))
    means = np.where(support > 0, np.bincount(true_index, own, len(classes)) / np.maximum(support, 1), np.inf)
    reached = np.where(probabilities >= means - _ROUNDING, probabilities, -1)
    reached[rows, true_index] = -1
    doubted = np.flatnonzero((own < means[true_index] - _ROUNDING) & (reached.max(1) >= 0))
    ordered, paths, suggested = doubted[np.argsort(own[doubted], kind="stable")], evaluation["path"], reached.argmax(1)
    return tuple(
        Mistake(
            path=paths[k].as_py(),
            label=classes[true_index[k]],
            predicted=classes[suggested[k]],
            score=float(probabilities[k, suggested[k]]),
        )
        for k in ordered.tolist()
    )
