"""What a folder was like, in a few numbers, so that the next one can be compared with it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

NUMBERS = ("width_px", "height_px", "size_bytes", "brightness", "contrast", "sharpness", "information")
CATEGORIES = ("label", "format", "mode", "status")
_KEPT_VALUES = 1001
_FALSE_ALARMS = 0.01


class FolderProfile(BaseModel):
    """Rows of a folder, and how its properties are spread.

    Attributes:
        numbers: evenly spaced order statistics of each numeric property of the pictures that decode.
        categories: rows of each value.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: int
    numbers: dict[str, tuple[float, ...]]
    categories: dict[str, dict[str, int]]


class Shift(NamedTuple):
    """One property that moved: distance in 0..1, and the largest that chance explains."""

    property_name: str
    distance: float
    limit: float


def profile_manifest(manifest: pa.Table) -> FolderProfile:
    """The profile of a manifest; files that are no pictures by intent do not count."""
    seen = manifest.filter(pc.not_equal(manifest["status"], "ignored"))
    decoded = seen.filter(pc.equal(seen["status"], "ok"))
    numbers = {}
    for name in NUMBERS:
        values = np.sort(decoded[name].drop_null().to_numpy().astype(np.float64))
        places = np.linspace(0, len(values) - 1, min(_KEPT_VALUES, len(values))).astype(int)
        numbers[name] = tuple(values[places].tolist())
    categories = {name: _counted(seen[name]) for name in CATEGORIES}
    return FolderProfile(rows=decoded.num_rows, numbers=numbers, categories=categories)


def compare_profiles(before: FolderProfile, now: FolderProfile, effect: float) -> list[Shift]:
    """Properties whose distance exceeds both `effect` and what chance gives at these numbers of rows, worst first.

    Numbers by Kolmogorov-Smirnov, categories by total variation and a chi-square test; the share of false alarms is
    1 % over all properties together (Bonferroni).
    """
    from scipy.stats import kstwobign  # noqa: PLC0415 - takes half a second

    alpha = _FALSE_ALARMS / (len(NUMBERS) + len(CATEGORIES))
    found = []
    for name in NUMBERS:
        left, right = (np.asarray(profile.numbers[name]) for profile in (before, now))
        if len(left) and len(right):
            chance = float(kstwobign.isf(alpha)) * np.sqrt(1 / before.rows + 1 / now.rows)
            # The kept values stand for the rest to within one step.
            found.append(Shift(name, ks_distance(left, right), max(effect, chance + 2 / _KEPT_VALUES)))
    for name in CATEGORIES:
        distance, p_value = _category_distance(before.categories[name], now.categories[name])
        found.append(Shift(name, distance, effect if p_value < alpha else 1.0))
    return sorted((shift for shift in found if shift.distance > shift.limit), key=lambda shift: -shift.distance)


def _counted(values: pa.ChunkedArray) -> dict[str, int]:
    counts = pc.value_counts(values.cast(pa.string()).drop_null().combine_chunks())
    return dict(sorted(zip(counts.field("values").to_pylist(), counts.field("counts").to_pylist(), strict=True)))


def ks_distance(left: NDArray[np.float64], right: NDArray[np.float64]) -> float:
    """Largest gap between two empirical distributions, 0..1 (Kolmogorov-Smirnov)."""
    left, right = np.sort(left), np.sort(right)
    both = np.concatenate([left, right])
    gap = np.searchsorted(left, both, "right") / len(left) - np.searchsorted(right, both, "right") / len(right)
    return float(np.abs(gap).max())


def _category_distance(before: dict[str, int], now: dict[str, int]) -> tuple[float, float]:
    """Total variation of two count tables, and the p-value of their difference."""
    from scipy.stats import chi2_contingency  # noqa: PLC0415

    names = sorted(before.keys() | now.keys())
    counts = np.array([[table.get(name, 0) for name in names] for table in (before, now)], dtype=np.float64)
    if len(names) < 2 or (counts.sum(1) == 0).any():
        return (0.0, 1.0) if (counts.sum(1) > 0).all() or counts.sum() == 0 else (1.0, 0.0)
    shares = counts / counts.sum(1, keepdims=True)
    return float(np.abs(shares[0] - shares[1]).sum() / 2), float(chi2_contingency(counts).pvalue)
