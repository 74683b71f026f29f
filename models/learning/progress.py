"""What training tells while it runs, and whom; apart from the code that runs, so that telling needs no torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict

from models.artifacts.records import EpochRecord
from models.parallel import OnProgress, no_progress

_CLEAR_ERRORS = 2


class EpochProgress(BaseModel):
    """What can be told after an epoch.

    Attributes:
        record: losses and scores of the epoch.
        epochs: planned; training may stop earlier.
        seconds_left: until the planned end, 0 behind the last epoch.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")

    record: EpochRecord
    epochs: int
    images_per_s: float
    seconds_left: float


def kept_epoch(epochs: Sequence[EpochRecord]) -> int:
    """Position of the epoch whose weights are kept: the last that tune cannot tell from the best.

    That is, not behind the best by more than two standard errors. Rates fall towards the end, so of equals the later
    is the better network; the best value on a small tune split is mostly the luckiest.
    """
    values = [e.tune_objective if math.isfinite(e.tune_objective) else -math.inf for e in epochs]
    best = values.index(max(values))
    limit = values[best] - _CLEAR_ERRORS * epochs[best].tune_error
    return max(place for place, value in enumerate(values) if value >= limit)


OnEpoch = Callable[[EpochProgress], None]


def no_epochs(_progress: EpochProgress) -> None:
    """Tells nobody."""


class Hooks(NamedTuple):
    """Who is told: of pictures embedded or steps taken, out of how many, and of every epoch."""

    on_progress: OnProgress = no_progress
    on_epoch: OnEpoch = no_epochs


NOBODY = Hooks()
