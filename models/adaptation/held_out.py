"""Choosing a site's head, and judging it, by labelled pictures that it has not seen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from models.adaptation.settings import AdaptSettings
from models.adaptation.site_head import (
    Floats,
    Rows,
    SiteHead,
    fit_site_head,
    fit_temperature,
    prototype_head,
    row_losses,
)

_RESAMPLES = 2000
_DIVISIONS, _NESTED_UP_TO = 3, 200


class Recipe(NamedTuple):
    """A way to a head; `penalty` is None for prototypes."""

    base_share: float
    penalty: float | None

    def fit(self, rows: Rows) -> SiteHead:
        """The head that it gives of some rows."""
        return prototype_head(rows) if self.penalty is None else fit_site_head(rows, self.base_share, self.penalty)


class HeldOut(NamedTuple):
    """A chosen head, and what heads made in the same way say of rows that they have not seen.

    Attributes:
        head: fitted on all rows, with its temperature.
        logits: (R, N, K) of R divisions into folds, before the temperature.
    """

    recipe: Recipe
    head: SiteHead
    logits: Floats

    def right_share(self, class_index: NDArray[np.int64]) -> Floats:
        """(N,) in which share of the divisions each row is answered right."""
        return np.asarray((self.logits.argmax(2) == class_index).mean(0))


def recipes(settings: AdaptSettings) -> list[Recipe]:
    """What is tried; the first is what is expected to be best."""
    shared = [Recipe(settings.base_share, penalty) for penalty in settings.penalties]
    return [*shared, Recipe(1.0, settings.penalties[0]), Recipe(0.0, None)]


def choose_head(rows: Rows, settings: AdaptSettings) -> HeldOut:
    """The head for a site.

    Of few rows the choice is made anew in every fold, without those that are held out there, so that what is told of
    them is not flattered by it.

    Args:
        rows: labelled pictures.
        settings: what is tried.
    """
    tried = recipes(settings)
    # Thousands of small products: threads would only wait for each other.
    with threadpool_limits(1, user_api="blas"):
        overall = _chosen(rows, tried, settings)
        logits = np.stack([_held_logits(rows, tried, overall, settings, k) for k in range(_DIVISIONS)])
        head = overall.fit(rows)
    return HeldOut(overall, head._replace(temperature=fit_temperature(logits[0], rows)), logits)


def _held_logits(rows: Rows, tried: list[Recipe], overall: Recipe, settings: AdaptSettings, division: int) -> Floats:
    """(N, K) of one division into folds."""
    logits = np.zeros_like(rows.base_logits)
    # The choice costs seconds where there are many rows, and hardly depends on which of them are left out.
    is_nested = len(rows.class_index) <= _NESTED_UP_TO
    for train, held in folds(rows.class_index, settings.folds, settings.seed + division):
        recipe = _chosen(rows.take(train), tried, settings) if is_nested else overall
        logits[held] = recipe.fit(rows.take(train)).logits(rows.take(held))
    return logits


def folds(
    class_index: NDArray[np.int64], count: int, seed: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Positions to learn from and to judge by; every row is judged once, every class spread evenly.

    Args:
        class_index: (N,), two rows or more of each class that is there.
        count: of folds; never more than the rarest class has rows.
        seed: of the division.
    """
    rng = np.random.default_rng(seed)
    sizes = np.bincount(class_index)
    count = max(min(count, int(sizes[sizes > 0].min())), 2)
    fold = np.zeros(len(class_index), dtype=np.int64)
    for k in np.unique(class_index):
        mine = rng.permutation(np.flatnonzero(class_index == k))
        fold[mine] = (np.arange(len(mine)) + rng.integers(count)) % count
    for k in range(count):
        yield np.flatnonzero(fold != k), np.flatnonzero(fold == k)


def balanced_accuracy(class_index: NDArray[np.int64], right_share: Floats | NDArray[np.bool_]) -> float:
    """Mean over the classes that are there of the share of their rows that is right."""
    return float(np.mean([right_share[class_index == k].mean() for k in np.unique(class_index)]))


def sureness(class_index: NDArray[np.int64], base: NDArray[np.bool_], adapted: Floats, seed: int) -> float:
    """Share of resamples, class by class, in which the adaptation has the higher balanced accuracy; ties count half.

    Args:
        class_index: (N,) true classes.
        base: (N,) whether the champion is right.
        adapted: (N,) how often the adaptation is right, 0..1.
        seed: of the resamples.
    """
    rng, gaps = np.random.default_rng(seed), np.zeros(_RESAMPLES)
    difference = adapted - base
    for k in np.unique(class_index):
        mine: Floats = difference[class_index == k]
        gaps += mine[rng.integers(len(mine), size=(_RESAMPLES, len(mine)))].mean(1)
    return float((gaps > 0).mean() + 0.5 * (gaps == 0).mean())


def _chosen(rows: Rows, tried: list[Recipe], settings: AdaptSettings) -> Recipe:
    """The first recipe, unless another one's loss on held-out rows is lower by more than its standard error."""
    if len(rows.class_index) < 4 * rows.base_logits.shape[1]:
        return tried[0]
    losses = [_held_losses(rows, recipe, settings) for recipe in tried]
    weight = rows.weight
    best = min(range(len(tried)), key=lambda k: float(weight @ losses[k]))
    gap = losses[0] - losses[best]
    mean = float(weight @ gap)
    error = float(np.sqrt((weight**2) @ (gap - mean) ** 2))
    return tried[best] if mean > error else tried[0]


def _held_losses(rows: Rows, recipe: Recipe, settings: AdaptSettings) -> Floats:
    logits = np.zeros_like(rows.base_logits)
    for train, held in folds(rows.class_index, settings.folds, settings.seed + 1):
        logits[held] = recipe.fit(rows.take(train)).logits(rows.take(held))
    return row_losses(logits, rows, fit_temperature(logits, rows))
