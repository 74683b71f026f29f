"""Two models on the same pictures: how much one gains, with a lower bound.

Pictures that share a group (a patient, a wafer, near copies) are drawn together: they are not so many independent
witnesses.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from models.judging.bootstrap import units_of
from models.judging.measure_counts import Answers, accuracy, balanced_accuracy, macro_f1, ratio, tally_of
from models.learning.evaluation_rows import Slice
from models.learning.multi_label_metrics import label_values

GAIN_ROUNDS = 2000
LOWER_QUANTILE = 0.05
# Samples are drawn some at a time, so that at most so many numbers are held.
_HELD_NUMBERS = 5_000_000
# A gain of nothing must not pass for one by its last digit.
_DIGITS = 12
_OBJECTIVES = {"accuracy": accuracy, "balanced_accuracy": balanced_accuracy, "macro_f1": macro_f1}
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Positions = NDArray[np.int64]


class Comparison(NamedTuple):
    """Both models' predictions of the same test rows.

    Attributes:
        true_index: (N,) class positions.
        candidate: (N,) predicted positions.
        champion: (N,) predicted positions.
        class_count: K.
        groups: N names; rows of one name belong together, null: a row by itself. Empty: all are by themselves.
        slices: sets of rows that are looked at by themselves.
    """

    true_index: Positions
    candidate: Positions
    champion: Positions
    class_count: int
    groups: Sequence[str | None] = ()
    slices: tuple[Slice, ...] = ()


class LabelComparison(NamedTuple):
    """Both models' decisions about the labels of the same test rows.

    Attributes:
        targets: (N, K), whether a label applies.
        candidate: (N, K), whether it was given.
        champion: (N, K), whether it was given.
        groups: as in `Comparison`.
        slices: as in `Comparison`.
    """

    targets: Flags
    candidate: Flags
    champion: Flags
    groups: Sequence[str | None] = ()
    slices: tuple[Slice, ...] = ()


class Gain(NamedTuple):
    """Candidate's objective less the champion's, in -1..1, with its one-sided 95 % lower bound."""

    value: float
    low: float


class _Kinds(NamedTuple):
    """What a bootstrap draws, alike counted together.

    Attributes:
        cells: (C, T) rows of each cell in a group of each kind; a cell is a combination of truth and both answers.
        times: (T,) groups of the kind.
        stratum: (T,) kinds of one stratum are drawn among themselves.
    """

    cells: csr_array
    times: Positions
    stratum: Positions


def paired_gain(
    comparison: Comparison | LabelComparison, objective: str, seed: int = 0, rounds: int = GAIN_ROUNDS
) -> Gain:
    """What the candidate gains, by a paired bootstrap over groups, within each class where a picture has one.

    Args:
        comparison: both models' answers, at least one row.
        objective: macro_f1, balanced_accuracy or accuracy; of labels the mean over them, or whole sets that are right.
        seed: of the bootstrap.
        rounds: samples.
    """
    cells, cell = np.unique(_columns(comparison), axis=0, return_inverse=True)
    cell = cell.reshape(-1)
    draws = _draws(_kinds(comparison, cell, len(cells)), np.random.default_rng(seed), rounds)
    samples = np.concatenate([_gains(comparison, cells, weights, objective) for weights in draws])
    low = round(float(np.quantile(samples, LOWER_QUANTILE)), _DIGITS)
    return Gain(observed_gain(comparison, objective), low)


def observed_gain(comparison: Comparison | LabelComparison, objective: str) -> float:
    """Candidate's objective less the champion's on these very rows, in -1..1."""
    cells, counts = np.unique(_columns(comparison), axis=0, return_counts=True)
    gains = _gains(comparison, cells, counts.astype(np.float64)[:, None], objective)
    return round(float(gains[0]), _DIGITS)


def unit_numbers(comparison: Comparison | LabelComparison) -> Positions:
    """(N,) number of the group of each row."""
    return units_of(_strata(comparison), comparison.groups or [None] * len(comparison.candidate)).unit


def _columns(comparison: Comparison | LabelComparison) -> NDArray[np.generic]:
    """(N, 3) or (N, 3 K): truth, candidate's and champion's answers of each row."""
    if isinstance(comparison, LabelComparison):
        return np.concatenate(comparison[:3], axis=1)
    return np.stack(comparison[:3], axis=1)


def _strata(comparison: Comparison | LabelComparison) -> Positions:
    """(N,) what is drawn among itself: pictures of one class; with several labels all of them."""
    if isinstance(comparison, LabelComparison):
        return np.zeros(len(comparison.targets), dtype=np.int64)
    return comparison.true_index


def _kinds(comparison: Comparison | LabelComparison, cell: Positions, cell_count: int) -> _Kinds:
    """The groups of the rows; drawing those that are alike together is the same distribution and far less work."""
    units = units_of(_strata(comparison), comparison.groups or [None] * len(cell))
    order = np.argsort(units.unit, kind="stable")
    parts = np.split(cell[order], np.flatnonzero(np.diff(units.unit[order])) + 1)
    found = Counter(
        (stratum, tuple(sorted(part.tolist()))) for stratum, part in zip(units.stratum.tolist(), parts, strict=True)
    )
    places = [(row, column) for column, (_, members) in enumerate(found) for row in members]
    rows, columns = np.array(places).T
    cells = csr_array((np.ones(len(places)), (rows, columns)), shape=(cell_count, len(found)))
    return _Kinds(cells, np.array(list(found.values())), np.array([stratum for stratum, _ in found]))


def _draws(kinds: _Kinds, rng: np.random.Generator, rounds: int) -> Iterator[Floats]:
    """(C, R) rows of each cell in bootstrap samples, some samples at a time."""
    size = max(_HELD_NUMBERS // max(kinds.cells.shape), 1)
    for start in range(0, rounds, size):
        count = min(size, rounds - start)
        drawn = np.zeros((len(kinds.times), count))
        for stratum in np.unique(kinds.stratum):
            inside = kinds.stratum == stratum
            total = int(kinds.times[inside].sum())
            # One group less, each counting a little more: else samples spread less than the rows of a small class do.
            fewer = max(total - 1, 1)
            drawn[inside] = rng.multinomial(fewer, kinds.times[inside] / total, size=count).T * (total / fewer)
        yield np.asarray(kinds.cells @ drawn)


def _gains(comparison: Comparison | LabelComparison, cells: NDArray[np.generic], weights: Floats, name: str) -> Floats:
    """(R,) gains where `weights` (C, R) says how often each of `cells` (C, columns) was drawn."""
    if isinstance(comparison, LabelComparison):
        truth, candidate, champion = np.split(cells.astype(np.bool_), 3, axis=1)
        return _label_objective(truth, candidate, weights, name) - _label_objective(truth, champion, weights, name)
    truth, *answers = cells.astype(np.int64).T
    ours, theirs = (
        _OBJECTIVES[name](tally_of(Answers(truth, answer, comparison.class_count), weights)) for answer in answers
    )
    return np.asarray(ours - theirs)


def _label_objective(truth: Flags, given: Flags, weights: Floats, name: str) -> Floats:
    """(R,) the objective of decisions (C, K) about labels, each row counted as `weights` (C, R) says."""
    if name == "accuracy":
        return ratio((truth == given).all(1).astype(np.float64) @ weights, weights.sum(0))
    kinds = np.stack([truth & given, ~truth & given, truth & ~given, ~truth & ~given], axis=2)
    sums = (kinds.reshape(len(truth), -1).T.astype(np.float64) @ weights).T.reshape(weights.shape[1], -1, 4)
    return np.asarray(label_values(sums, name).mean(-1))
