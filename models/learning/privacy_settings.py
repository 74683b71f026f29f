"""Whether a head is trained so that no single training picture can be told from it."""

from __future__ import annotations

from pydantic import Field

from models.settings import Settings


class PrivacySettings(Settings):
    """Whether a head is trained so that no single training picture can be told from it (differential privacy)."""

    epsilon: float = Field(
        default=0,
        ge=0,
        le=1000,
        title="Epsilon",
        description="Most that one training picture may change what is learned, such as 3 or 8; 0: off. Needs "
        "training.network=unit/efficientnet_lite0, training.learner=frozen, training.refit_on_tune=false and the "
        "extra privacy.",
    )
    delta: float = Field(
        default=0,
        ge=0,
        lt=0.1,
        title="Delta",
        description="Chance with which that does not hold; 0: a tenth of one over the training pictures.",
    )
    clip: float = Field(
        default=1.0, gt=0, le=1000, title="Clip", description="Longest gradient of one picture that counts."
    )
    epochs: int = Field(default=30, ge=1, le=10_000, title="Epochs", description="Passes over the pictures.")
    batch_rows: int = Field(
        default=256, ge=1, le=100_000, title="Batch", description="Pictures a step on average, drawn by chance."
    )
    learning_rate: float = Field(default=4.0, gt=0, le=100, title="Learning rate", description="Of the head.")
