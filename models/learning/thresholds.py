"""Where each label of a multi-label model is given: a threshold a label, chosen on the tune split.

It is kept as an offset of the label's logit, so that what is served decides at probability 0.5 whatever was chosen.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.errors import ShapeError
from models.learning.multi_label_metrics import label_values

LARGEST_OFFSET = 4.0
# A threshold that was learned from a handful of pictures is chance.
LEAST_SIDE_ROWS = 5
_SAME = 1e-12
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


def choose_thresholds(logits: Floats, targets: Flags, objective: str) -> Floats:
    """(K,) offsets, each in -4..4, that make the objective of each label as large as it gets.

    Of equals the one nearest to 0 wins, so 0 stays where nothing is better, and where fewer than 5 rows have the label
    or lack it.

    Args:
        logits: (N, K) of the tune rows, without any offset.
        targets: (N, K), whether a label applies.
        objective: a name in `metrics.OBJECTIVES`; `accuracy` is here the share of right decisions of the label.

    Raises:
        ShapeError: the two differ in shape.
    """
    if logits.shape != targets.shape or logits.ndim != 2:
        raise ShapeError(
            f"logits of shape {logits.shape} and targets of shape {targets.shape}",
            "one shape, (rows, labels)",
            "Pass the rows of one split.",
        )
    columns = zip(logits.T, targets.T, strict=True)
    return np.array([_offset(scores, applies, objective) for scores, applies in columns], dtype=np.float64)


def _offset(scores: Floats, applies: Flags, objective: str) -> float:
    with_label, without_label = np.sort(scores[applies]), np.sort(scores[~applies])
    if min(len(with_label), len(without_label)) < LEAST_SIDE_ROWS:
        return 0.0
    cuts = _cuts(scores)
    found = len(with_label) - np.searchsorted(with_label, cuts)
    false = len(without_label) - np.searchsorted(without_label, cuts)
    counts = np.stack([found, false, len(with_label) - found, len(without_label) - false], axis=-1)
    values = label_values(counts, objective)
    best = int(np.flatnonzero(values >= values.max() - _SAME)[0])
    return float(0.0 - cuts[best])  # and not -0.0


def _cuts(scores: Floats) -> Floats:
    """Logits at which a label can begin to be given, nearest to 0 first.

    0 itself, halfway between neighbours, and beyond both ends: a label may be best given to all, or to none.
    """
    known = np.unique(scores)
    known = np.concatenate([[known[0] - 1], known, [known[-1] + 1]])
    halfway = np.clip((known[1:] + known[:-1]) / 2, -LARGEST_OFFSET, LARGEST_OFFSET)
    cuts = np.append(0.0, halfway)
    return np.asarray(cuts[np.argsort(np.abs(cuts), kind="stable")])
