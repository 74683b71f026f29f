"""Which way of learning: what the settings say, or what data, machine and time allow."""

from __future__ import annotations

import time
from typing import NamedTuple

import numpy as np
import torch

from models.errors import SettingsError
from models.learning.lesson import Lesson
from models.learning.training_settings import Learner
from models.networks.registry import Build, Network, UprightTrunk
from models.parallel import usable_cores

_LEAST_ROWS_TO_FINE_TUNE = 200
# A step of training over a pass through the whole frozen network, while the lower stages are kept.
_STEP_OVER_PASS = 2.5
_TIMED_PASSES = 3


class Choice(NamedTuple):
    """A way of learning, and why."""

    learner: Learner
    reason: str


def choose_learner(lesson: Lesson, network: Network, build: Build, device: torch.device) -> Choice:
    """The way that is asked for, or the one that fits.

    The reason names no measured time: equal trainings have equal cards.

    Raises:
        SettingsError: a way that needs pretrained weights, and there are none.
    """
    asked = lesson.settings.learner
    if network.weights is None:
        if asked in ("frozen", "fine_tune"):
            raise SettingsError(
                f"training.learner={asked} needs pretrained weights, and network {network.name} has none",
                "a network with weights",
                "Set training.weights, or training.learner=scratch.",
            )
        return Choice("scratch", "asked for" if asked == "scratch" else "the network has no pretrained weights")
    if asked != "auto":
        return Choice(asked, "asked for")
    return _fitting(lesson, network, build, device)


def _fitting(lesson: Lesson, network: Network, build: Build, device: torch.device) -> Choice:
    """What data, machine and time allow a network with weights."""
    rows, budget = len(lesson.train.paths), lesson.settings.time_budget_minutes
    if not list(network.build(build).parameters()):
        return Choice("frozen", "the network has nothing to train")
    if rows < _LEAST_ROWS_TO_FINE_TUNE:
        return Choice("frozen", f"{rows} training pictures; fine-tuning pays from {_LEAST_ROWS_TO_FINE_TUNE}")
    if device.type != "cpu":
        return Choice("fine_tune", "there is a GPU")
    if fine_tuning_minutes(lesson, network, build) <= budget:
        return Choice("fine_tune", f"fine-tuning fits into the time budget of {budget:g} min")
    return Choice("frozen", f"fine-tuning does not fit into the time budget of {budget:g} min")


def fine_tuning_minutes(lesson: Lesson, network: Network, build: Build) -> float:
    """Roughly what all epochs take on this machine, from the time of a few passes through the network."""
    model = UprightTrunk(network.build(build), build.channels).eval()
    pixels = torch.zeros((4, build.size_px, build.size_px, 3), dtype=torch.uint8)
    torch.set_num_threads(usable_cores())
    taken = []
    with torch.inference_mode():
        for _ in range(_TIMED_PASSES):
            started = time.monotonic()
            model(pixels)
            taken.append((time.monotonic() - started) / len(pixels))
    steps = len(lesson.train.paths) * lesson.settings.fit.epochs
    return float(np.median(taken)) * _STEP_OVER_PASS * steps / 60
