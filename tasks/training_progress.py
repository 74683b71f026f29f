"""Tells how training goes: to whoever has set up a sink, and to the Prefect server inside a run."""

from __future__ import annotations

import base64
import logging
import math
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast
from uuid import UUID

from prefect.artifacts import create_image_artifact, create_progress_artifact, update_progress_artifact
from prefect.logging import get_run_logger

from models.artifacts.records import EpochRecord
from models.learning.progress import EpochProgress, Hooks
from models.reports.curves import learning_curves
from tasks.progress import is_in_run, progress_lines, progress_of

# Epochs of a small network take less than a second; the server need not hear of each.
SECONDS_BETWEEN_CALLS = 5.0


@contextmanager
def training_hooks(name: str, objective_name: str = "objective") -> Iterator[Hooks]:
    """Hooks that tell of a training inside the block, and leave its curves with the run when it ends or fails.

    Args:
        name: the model's name; keys of artifacts hold it.
        objective_name: what the tune objective is called where it is shown.
    """
    say = progress_lines()
    board = _Board(name, objective_name) if is_in_run() else None

    def on_epoch(progress: EpochProgress) -> None:
        line = epoch_line(progress, objective_name)
        say(line)
        if board:
            board.show(progress, line)

    try:
        yield Hooks(progress_of("train"), on_epoch)
    finally:
        if board:
            board.close()


def epoch_line(progress: EpochProgress, objective_name: str) -> str:
    """One line about an epoch, for a person."""
    record, left = progress.record, progress.seconds_left
    minutes, seconds = divmod(round(left) if math.isfinite(left) else 0, 60)
    parts = (
        f"epoch {record.epoch + 1}/{progress.epochs}",
        f"train loss {record.train_loss:.3f}",
        f"tune loss {record.tune_loss:.3f}",
        f"tune {objective_name} {record.tune_objective:.3f}",
        f"{progress.images_per_s:.0f} images/s",
        f"{minutes}:{seconds:02} left",
    )
    return "  ".join(parts)


class _Board:
    """What the Prefect UI shows of one training: log lines, a share done, and curves in the end."""

    def __init__(self, name: str, objective_name: str) -> None:
        self._key = re.sub("[^a-z0-9-]+", "-", name.lower())
        self._objective_name = objective_name
        self._log: logging.Logger | logging.LoggerAdapter[Any] = get_run_logger()
        self._epochs: list[EpochRecord] = []
        self._percent = 0.0
        self._artifact: UUID | None = None
        self._called_at = -math.inf
        self._is_refused = False

    def show(self, progress: EpochProgress, line: str) -> None:
        """Logs an epoch, and tells the server of it unless it heard of another a moment ago."""
        self._log.info("%s", line)
        self._epochs.append(progress.record)
        self._percent = min(100.0, round(100 * (progress.record.epoch + 1) / progress.epochs, 1))
        if not progress.seconds_left:  # training may end before the epochs that were planned
            self._percent = 100.0
        if time.monotonic() - self._called_at >= SECONDS_BETWEEN_CALLS:
            self._send_percent()

    def close(self) -> None:
        """Leaves the last share done and the curves, where there was an epoch."""
        if self._epochs:
            self._send_percent()
            self._attempt(self._send_curves)

    def _send_percent(self) -> None:
        # A server that has refused once is asked once more, in the end and for the curves.
        if not self._is_refused:
            self._attempt(self._put_percent)
            self._called_at = time.monotonic()

    def _put_percent(self) -> None:
        if self._artifact:
            update_progress_artifact(self._artifact, self._percent)
        else:
            made = create_progress_artifact(self._percent, f"training-{self._key}", f"Epochs of {self._key}")
            self._artifact = cast(UUID, made)  # a coroutine only where an event loop runs, and training runs in none

    def _send_curves(self) -> None:
        picture = base64.b64encode(learning_curves(self._epochs, self._objective_name).encode()).decode()
        create_image_artifact(
            f"data:image/svg+xml;base64,{picture}", f"curve-{self._key}", f"Learning curves of {self._key}"
        )

    def _attempt(self, call: Callable[[], None]) -> None:
        """Does what training must not fail for."""
        try:
            call()
        except Exception as error:  # whatever a server or its client may say
            if not self._is_refused:
                self._log.warning("Prefect takes no artifact of this training, which goes on: %s", error)
            self._is_refused = True
