"""Pairs of models whose true recalls are known: what a champion and a candidate would say of the same test pictures.

Whether a model is right about a picture depends on how hard the picture is, which both models share, and on luck of its
own; so they are wrong together far more often than two coins would be. Where both are wrong they mostly name the same
class.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from validation.paired import Comparison

SHARED_HARDNESS = 0.8
SHARED_MISTAKE = 0.7
PLANTED_LOSS = 0.3
_MOST = 0.995
Positions = NDArray[np.int64]


class World(NamedTuple):
    """Classes by their shares of the test pictures, and a champion's recall of each."""

    name: str
    shares: tuple[float, ...]
    recall: tuple[float, ...]


def _long_tail(count: int, ratio: float) -> tuple[float, ...]:
    sizes = ratio ** -(np.arange(count) / (count - 1))
    return tuple((sizes / sizes.sum()).tolist())


# Recalls as those of the demo, but for the rarest class: of its 0.24 nothing much could be lost.
ELPV = World("four classes as ELPV's", (0.57, 0.11, 0.04, 0.28), (0.83, 0.52, 0.55, 0.77))
LONG_TAIL = World("ten classes, ratio 50", _long_tail(10, 50), tuple(np.linspace(0.95, 0.6, 10).tolist()))


def raised(world: World, gain: float) -> list[float]:
    """Recalls of a model that is better in every class by `gain`, as far as there is room."""
    return [min(recall + gain, _MOST) for recall in world.recall]


def rare_class_regressed(world: World) -> list[float]:
    """Recalls of a model that lost 0.3 in the rarest class, and won a little more pictures in the most frequent."""
    recall = list(world.recall)
    rare, frequent = int(np.argmin(world.shares)), int(np.argmax(world.shares))
    recall[rare] -= PLANTED_LOSS
    recall[frequent] = min(recall[frequent] + 0.04, _MOST)
    return recall


def draw_pair(world: World, rows: int, recalls: Sequence[Sequence[float]], rng: np.random.Generator) -> Comparison:
    """What two models of known recalls say of about `rows` pictures.

    Args:
        world: classes and shares.
        rows: test pictures, before the classes are rounded to whole ones.
        recalls: of the champion, and of the candidate, by class.
        rng: draws everything.
    """
    sizes = np.maximum(np.round(np.array(world.shares) * rows), 1).astype(np.int64)
    true_index = np.repeat(np.arange(len(sizes)), sizes)
    hardness, common = rng.normal(size=len(true_index)), _wrong_classes(true_index, world, rng)
    champion, candidate = (_answers(true_index, np.asarray(recall), hardness, common, world, rng) for recall in recalls)
    return Comparison(true_index, candidate, champion, len(sizes))


def _wrong_classes(true_index: Positions, world: World, rng: np.random.Generator) -> Positions:
    """(N,) of each picture another class than its own, frequent ones more often."""
    found = np.empty_like(true_index)
    for place in range(len(world.shares)):
        shares = np.array(world.shares)
        shares[place] = 0
        inside = true_index == place
        found[inside] = rng.choice(len(shares), int(inside.sum()), p=shares / shares.sum())
    return found


def _answers(
    true_index: Positions,
    recall: NDArray[np.float64],
    hardness: NDArray[np.float64],
    common: Positions,
    world: World,
    rng: np.random.Generator,
) -> Positions:
    """(N,) classes that one model names."""
    luck = rng.normal(size=len(true_index))
    is_right = np.sqrt(SHARED_HARDNESS) * hardness + np.sqrt(1 - SHARED_HARDNESS) * luck < norm.ppf(recall)[true_index]
    own = _wrong_classes(true_index, world, rng)
    mistake = np.where(rng.random(len(true_index)) < SHARED_MISTAKE, common, own)
    return np.where(is_right, true_index, mistake)
