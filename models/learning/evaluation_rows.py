"""What is read from a table EVALUATION, whether its pictures have one label or several."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from models.errors import ContractBroken

LEAST_SLICE_ROWS = 10
Floats = NDArray[np.float64]


class Slice(NamedTuple):
    """Rows that share a value of one of the user's columns; `inside` is (N,)."""

    column: str
    value: str
    inside: NDArray[np.bool_]


def probability_rows(evaluation: pa.Table, class_count: int) -> Floats:
    """(N, K) probabilities."""
    flat = evaluation["probabilities"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return np.asarray(flat.reshape(-1, class_count).astype(np.float64))


def class_positions(evaluation: pa.Table, classes: tuple[str, ...]) -> NDArray[np.int64]:
    """(N,) class positions of pictures with one label."""
    place = {label: k for k, label in enumerate(classes)}
    return np.array([place[label] for label in evaluation["label"].to_pylist()], dtype=np.int64)


def label_arrays(evaluation: pa.Table, classes: tuple[str, ...]) -> tuple[NDArray[np.bool_], Floats]:
    """(N, K) whether a label applies, and (N, K) probabilities, of pictures with several labels.

    Raises:
        ContractBroken: a picture without a list of labels, or with one that the model does not know.
    """
    rows = evaluation["labels"].to_pylist()
    place = {label: k for k, label in enumerate(classes)}
    without = sum(labels is None for labels in rows)
    unknown = sorted({label for labels in rows for label in labels or () if label not in place})
    if without or unknown:
        raise ContractBroken(
            f"{without} test pictures without a list of labels, {len(unknown)} unknown labels {', '.join(unknown[:5])}",
            f"lists of labels out of {', '.join(classes)}",
            "Train anew on these data.",
        )
    targets = np.zeros((len(rows), len(classes)), dtype=np.bool_)
    for target, labels in zip(targets, rows, strict=True):
        target[[place[label] for label in labels]] = True
    return targets, probability_rows(evaluation, len(classes))


def class_rows(split: pa.Table, part: str) -> dict[str, int]:
    """Pictures of each class in one part of a table SPLIT of pictures with one label, such as train."""
    labels = split.filter(pc.equal(split["split"], part))["label"].drop_null().to_pylist()
    return dict(sorted(Counter(labels).items()))


def slices_of(evaluation: pa.Table) -> Iterator[Slice]:
    """The slices that are large enough to be scored, by column and value."""
    columns = [dict(pairs or []) for pairs in evaluation["slices"].to_pylist()]
    for name, value in sorted({pair for row in columns for pair in row.items()}):
        inside = np.array([row.get(name) == value for row in columns])
        if inside.sum() >= LEAST_SLICE_ROWS:
            yield Slice(name, value, inside)
