"""What may be served in the place of the exported model, and what that may cost."""

from __future__ import annotations

from pydantic import Field

from models.settings import Settings


class CompressionSettings(Settings):
    """Which smaller models are tried, and the budget that each has to keep."""

    int8: bool = Field(
        default=True,
        title="Int8",
        description="Try 8-bit integers, calibrated on training pictures. Seconds to a minute.",
    )
    float16: bool = Field(default=False, title="Float16", description="Try half precision; pays on GPUs only.")
    prune_share: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        title="Pruning",
        description="Try without that share of the channels inside each block, in float and in integers; 0: do not.",
    )
    student: str = Field(
        default="",
        title="Student network",
        description="Try a smaller network that learns from the exported one, such as convnet. Trains for minutes.",
    )
    student_size_px: int = Field(
        default=0, ge=0, le=4096, title="Student's size", description="Side of the student's pictures; 0: its own."
    )
    min_agreement: float = Field(
        default=0.97,
        ge=0,
        le=1,
        title="Least agreement",
        description="Share of tune pictures that have to keep their answer.",
    )
    max_drop: float = Field(
        default=0.01, ge=0, le=1, title="Largest drop", description="What the objective on tune may lose."
    )
    min_speedup: float = Field(
        default=1.1,
        ge=1,
        title="Least speed-up",
        description="Pictures a second over those of the exported model, measured on this machine.",
    )
    calibration_rows: int = Field(
        default=64, ge=8, le=4096, title="Calibration", description="Training pictures that set the ranges of integers."
    )

    @property
    def tries_any(self) -> bool:
        """Whether anything is tried."""
        return self.int8 or self.float16 or self.prune_share > 0 or bool(self.student)
