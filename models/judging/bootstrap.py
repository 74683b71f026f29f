"""How often each picture is drawn in bootstrap samples, and intervals from what the samples say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.artifacts.judging_records import Measure, Resampled
from models.learning.metrics import BOOTSTRAP_ROUNDS

# Numbers of one block of samples: few enough for the caches of a small machine.
_HELD_NUMBERS = 500_000
_BOUNDS = (0.025, 0.975)
Floats = NDArray[np.float64]
Positions = NDArray[np.int64]


class Units(NamedTuple):
    """What a bootstrap draws: pictures, or groups of them that belong together.

    Attributes:
        unit: (N,) of each picture.
        stratum: (U,) of each unit; units of one stratum are drawn among themselves.
    """

    unit: Positions
    stratum: Positions
    resampled: Resampled


def units_of(true_index: Positions, groups: Sequence[str | None]) -> Units:
    """Groups where one holds more than one picture, else pictures, in strata by class.

    A group with pictures of several classes is of the rarest of them: so a rare class is in every sample.

    Args:
        true_index: (N,) class positions.
        groups: N names; null: a picture by itself.
    """
    names = [("", place) if name is None else (name, -1) for place, name in enumerate(groups)]
    places = {name: place for place, name in enumerate(dict.fromkeys(names))}
    unit = np.array([places[name] for name in names], dtype=np.int64)
    counts = np.bincount(true_index)
    rank = np.argsort(np.argsort(counts, kind="stable"))
    stratum = np.full(len(places), len(counts))
    np.minimum.at(stratum, unit, rank[true_index])
    return Units(unit, stratum, "groups" if len(places) < len(names) else "pictures")


def drawn_weights(units: Units, rng: np.random.Generator, rounds: int = BOOTSTRAP_ROUNDS) -> Iterator[Floats]:
    """(N, R) how often each picture was drawn in each sample, some samples at a time; R sums to `rounds`."""
    members = [np.flatnonzero(units.stratum == stratum) for stratum in np.unique(units.stratum)]
    size = max(_HELD_NUMBERS // max(len(units.unit), 1), 1)
    for start in range(0, rounds, size):
        count = min(size, rounds - start)
        times = np.empty((len(units.stratum), count))
        for inside in members:
            drawn = rng.integers(len(inside), size=(len(inside), count)) * count + np.arange(count)
            times[inside] = np.bincount(drawn.ravel(), minlength=len(inside) * count).reshape(len(inside), count)
        yield times[units.unit]


def measure_of(value: float, samples: Floats, rows: int) -> Measure:
    """A value with the middle 95 % of what the samples (B,) say, those that say something; NaN is not defined.

    The interval always holds the value: samples with copies look worse calibrated than what they were drawn from.
    """
    if np.isnan(value):
        return Measure(value=None, rows=rows)
    told = samples[~np.isnan(samples)]
    if not len(told):
        return Measure(value=float(value), rows=rows)
    low, high = np.quantile(told, _BOUNDS)
    return Measure(
        value=float(value), low=min(float(low), float(value)), high=max(float(high), float(value)), rows=rows
    )
