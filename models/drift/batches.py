"""What is compared of a batch: its properties, out of predictions or out of a bundle's baseline."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from models.artifacts.tables import PREDICTIONS
from models.learning.evaluation_rows import probability_rows
from models.learning.multi_label_metrics import given_labels
from models.serving.bundle import Bundle
from models.serving.commit import OutputStore
from models.serving.commit_log import Commit, Part

Floats = NDArray[np.float64]
NUMBERS = ("score", "ood_score", "brightness", "contrast", "detail", "size_px")
_LOOK = ("ood_score", "brightness", "contrast", "detail")
_ANSWERS = ("status", "reason", "label", "labels", "score", "top_labels", "top_scores", "probabilities", "plan_id")
_COLUMNS = (*_ANSWERS, *_LOOK, "width_px", "height_px")
_SCHEMA = pa.schema([PREDICTIONS.field(name) for name in _COLUMNS])
# Of a larger batch every second, third ... row is taken: distances do not get finer, and memory stays bounded.
_MOST_ROWS = 1_000_000
NO_LABEL = "none"


class Properties(NamedTuple):
    """One set of pictures.

    Attributes:
        numbers: (N,) of each property of the scored pictures; not a number where it is not known.
        predicted: what each of them was given; several labels as one text.
        outcomes: status and reason of every file that should have been scored; empty where only scored ones are known.
    """

    numbers: dict[str, Floats]
    predicted: list[str]
    outcomes: list[str]


def batch_rows(store: OutputStore, bundle_sha256: str, plan_ids: Sequence[str]) -> pa.Table:
    """Rows of some plans, as far as they are compared."""
    return _collected(store, [entry for entry in store.live(bundle_sha256) if _may_hold(entry[0], plan_ids)], plan_ids)


def rows_before(store: OutputStore, bundle_sha256: str, plan_ids: Sequence[str], rows: int) -> pa.Table:
    """The newest rows of the same model from before some plans; at least so many where there are."""
    wanted: list[tuple[Commit, Part]] = []
    live = store.live(bundle_sha256)
    ends = [k for k, (commit, _) in enumerate(live) if commit.plan_id in plan_ids]
    for entry in reversed(live[: min(ends)] if ends else []):
        if sum(part.rows for _, part in wanted) >= rows:
            break
        wanted.append(entry)
    return _collected(store, wanted[::-1], None)


def properties_of(rows: pa.Table) -> Properties:
    """Properties of predictions."""
    judged = rows.filter(pc.not_equal(rows["status"], "ignored"))
    scored = judged.filter(pc.equal(judged["status"], "ok"))
    numbers = {name: _floats(scored[name]) for name in ("score", *_LOOK)}
    numbers["size_px"] = np.sqrt(_floats(scored["width_px"]) * _floats(scored["height_px"]))
    outcomes = zip(judged["status"].to_pylist(), judged["reason"].to_pylist(), strict=True)
    given = zip(scored["label"].to_pylist(), scored["labels"].to_pylist(), strict=True)
    predicted = [label if labels is None else ", ".join(sorted(set(labels))) or NO_LABEL for label, labels in given]
    return Properties(numbers, predicted, [f"{status} {reason or ''}".strip() for status, reason in outcomes])


def properties_of_baseline(bundle: Bundle, probabilities: Floats) -> Properties:
    """Properties of the test pictures that a bundle was judged on.

    Args:
        bundle: with its baseline.
        probabilities: (N, K) what is served of them.
    """
    baseline, classes = bundle.baseline, bundle.card.classes
    numbers = {name: _floats(baseline[name]) for name in _LOOK}
    numbers["score"] = probabilities.max(1)
    numbers["size_px"] = np.sqrt(_floats(baseline["width_px"]) * _floats(baseline["height_px"]))
    if bundle.card.task == "multi_label":
        flags = given_labels(probabilities)
        predicted = [", ".join(sorted(classes[k] for k in np.flatnonzero(row))) or NO_LABEL for row in flags]
    else:
        predicted = [classes[k] for k in probabilities.argmax(1)]
    return Properties(numbers, predicted, [])


def probabilities_of(scored: pa.Table, classes: tuple[str, ...]) -> Floats:
    """(N, K) scores of all classes; where a row keeps only the best ones, the rest is shared out evenly."""
    if scored["probabilities"].null_count == 0 and scored.num_rows:
        return probability_rows(scored, len(classes))
    place = {label: k for k, label in enumerate(classes)}
    found = np.zeros((scored.num_rows, len(classes)))
    rows = zip(found, scored["top_labels"].to_pylist(), scored["top_scores"].to_pylist(), strict=True)
    for row, labels, scores in rows:
        named = [place[label] for label in labels]
        rest = max(1.0 - sum(scores), 0.0) / max(len(classes) - len(named), 1)
        row[:] = rest if len(named) < len(classes) else 0.0
        row[named] = scores
    return found


def _may_hold(commit: Commit, plan_ids: Sequence[str]) -> bool:
    return commit.plan_id in plan_ids or commit.kind == "compacted"


def _collected(store: OutputStore, entries: list[tuple[Commit, Part]], plan_ids: Sequence[str] | None) -> pa.Table:
    step = 1 + sum(part.rows for _, part in entries) // _MOST_ROWS
    return pa.concat_tables([_SCHEMA.empty_table(), *_thinned(store, entries, plan_ids, step)])


def _thinned(
    store: OutputStore, entries: list[tuple[Commit, Part]], plan_ids: Sequence[str] | None, step: int
) -> Iterator[pa.Table]:
    for _, part in entries:
        table = store.checked(part).select(_COLUMNS)
        if plan_ids is not None:
            table = table.filter(pc.is_in(table["plan_id"], pa.array(plan_ids, pa.string())))
        yield table.take(pa.array(np.arange(0, table.num_rows, step))) if step > 1 else table


def _floats(values: pa.ChunkedArray) -> Floats:
    return np.asarray(values.cast(pa.float64()).fill_null(np.nan).to_numpy(), dtype=np.float64)
