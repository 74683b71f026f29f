"""When a batch counts as drifted, and how much has to be known before anything is said."""

from __future__ import annotations

from pydantic import Field

from models.settings import Settings


class DriftSettings(Settings):
    """When a batch counts as drifted."""

    min_rows: int = Field(default=50, ge=20, description="Below this a batch is not judged.", title="Least rows")
    effect: float = Field(
        default=0.1, gt=0, lt=1, description="Smallest distance that matters, 0..1.", title="Effect size"
    )
    false_alarm_share: float = Field(
        default=0.01,
        gt=0,
        lt=0.5,
        description="Share of clean batches that may alarm, by any of the measures.",
        title="False alarms",
    )
    bootstrap_rounds: int = Field(
        default=2000, ge=100, le=100_000, description="Draws, at least.", title="Bootstrap rounds"
    )
    previous_rows: int = Field(
        default=5000,
        ge=0,
        le=1_000_000,
        description="So many rows of the batches before are compared with, too; 0: none.",
        title="Rows before",
    )
    accuracy_within: float = Field(
        default=0.03,
        gt=0,
        lt=0.5,
        description="An accuracy is told without labels only where its interval is at most so far to both sides.",
        title="Accuracy within",
    )
    seed: int = Field(default=0, ge=0, description="Of the bootstrap.", title="Seed")
