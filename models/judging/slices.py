"""Parts of the test pictures by what they look like, where they are from and what the user says of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import PurePosixPath

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from models.artifacts.judging_records import SliceDetail
from models.data.labels import SPLIT_WORDS
from models.judging.bootstrap import measure_of
from models.judging.measure_counts import Answers, accuracy, balanced_accuracy, macro_f1_of_told, tally_of
from models.learning.evaluation_rows import LEAST_SLICE_ROWS, Slice, slices_of

Floats = NDArray[np.float64]


def all_slices(evaluation: pa.Table) -> tuple[Slice, ...]:
    """Slices of at least 10 pictures, by column: what the scan measured, the group, and the user's own columns.

    A column of the user's hides one of the same name. A slice that the scan makes and that holds every picture says
    nothing and is left out.
    """
    own = tuple(slices_of(evaluation))
    names = {part.column for part in own}
    told = [part for part in _measured(evaluation) if part.column not in names]
    return (*(part for part in told if LEAST_SLICE_ROWS <= part.inside.sum() < evaluation.num_rows), *own)


def slice_values(parts: Sequence[Slice], answers: Answers, weights: Floats) -> Floats:
    """(S, 3, R) accuracy, balanced accuracy and macro-F1 of each slice in each sample, of the classes that it shows."""
    found = np.empty((len(parts), 3, weights.shape[1]))
    for place, part in enumerate(parts):
        tally = tally_of(answers, weights, np.flatnonzero(part.inside))
        found[place] = accuracy(tally), balanced_accuracy(tally), macro_f1_of_told(tally)
    return found


def slice_details(parts: Sequence[Slice], values: Floats, samples: Floats) -> tuple[SliceDetail, ...]:
    """Records of slices from their values (S, 3) and what B samples say, (S, 3, B)."""
    found = []
    for part, value, sample in zip(parts, values, samples, strict=True):
        rows = int(part.inside.sum())
        measures = [measure_of(float(v), s, rows) for v, s in zip(value, sample, strict=True)]
        found.append(
            SliceDetail(
                column=part.column,
                value=part.value,
                rows=rows,
                accuracy=measures[0],
                balanced_accuracy=measures[1],
                macro_f1=measures[2],
            )
        )
    return tuple(found)


def _measured(evaluation: pa.Table) -> Iterator[Slice]:
    area_px = _numbers(evaluation, "width_px") * _numbers(evaluation, "height_px")
    yield from _thirds("size", "", area_px, lambda value: f"{value:,.0f} px")
    for name in ("brightness", "contrast"):
        yield from _thirds(name, "", _numbers(evaluation, name), lambda value: f"{value:.3f}")
    yield from _thirds("blur", "sharpness ", _numbers(evaluation, "sharpness"), lambda value: f"{value:.3f}")
    yield from _equal("mode", evaluation["mode"].to_pylist())
    yield from _equal("source", _sources(evaluation))
    yield from _equal("group", evaluation["group_id"].to_pylist())


def _numbers(evaluation: pa.Table, name: str) -> Floats:
    return np.asarray(evaluation[name].cast(pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)


def _thirds(column: str, noun: str, values: Floats, shown: Callable[[float], str]) -> Iterator[Slice]:
    """Low, middle and high third of the known values; equal values stay together."""
    known = values[~np.isnan(values)]
    if not len(known):
        return
    low, high = np.quantile(known, [1 / 3, 2 / 3], method="inverted_cdf")
    yield Slice(column, f"{noun}up to {shown(low)}", values <= low)
    yield Slice(column, f"{noun}{shown(low)} to {shown(high)}", (values > low) & (values <= high))
    yield Slice(column, f"{noun}above {shown(high)}", values > high)


def _equal(column: str, texts: Sequence[str | None]) -> Iterator[Slice]:
    names, codes = np.unique(np.array(["" if text is None else text for text in texts]), return_inverse=True)
    for place in np.flatnonzero(np.bincount(codes) >= LEAST_SLICE_ROWS).tolist():
        if names[place]:
            yield Slice(column, str(names[place]), codes == place)


def _sources(evaluation: pa.Table) -> list[str]:
    """The folders that each picture lies in, but for those that name its class or its split."""
    found = []
    for path, label in zip(evaluation["path"].to_pylist(), evaluation["label"].to_pylist(), strict=True):
        folders = PurePosixPath(path or "").parts[:-1]
        found.append("/".join(part for part in folders if part != label and part.casefold() not in SPLIT_WORDS))
    return found
