"""What training tells while it runs, and whom; apart from the code that runs, so that telling needs no torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict

from models.artifacts.records import EpochRecord
from models.parallel import OnProgress, no_progress


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


OnEpoch = Callable[[EpochProgress], None]


def no_epochs(_progress: EpochProgress) -> None:
    """Tells nobody."""


class Hooks(NamedTuple):
    """Who is told: of pictures embedded or steps taken, out of how many, and of every epoch."""

    on_progress: OnProgress = no_progress
    on_epoch: OnEpoch = no_epochs


NOBODY = Hooks()
