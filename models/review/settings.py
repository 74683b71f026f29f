"""What a person is asked about."""

from __future__ import annotations

from pydantic import Field

from models.settings import FileName, Settings


class ReviewSettings(Settings):
    """What a person is asked about."""

    count: int = Field(default=100, ge=1, le=10_000, title="Pictures", description="In the queue, at most.")
    unsure_share: float = Field(
        default=0.7,
        ge=0,
        le=1,
        title="Unsure",
        description="Share of the queue for pictures that the model is least sure of, spread over what they look like.",
    )
    foreign_share: float = Field(
        default=0.15,
        ge=0,
        le=1,
        title="Foreign",
        description="Share of the queue for pictures most unlike the training pictures.",
    )
    shortlist: int = Field(
        default=5,
        ge=1,
        le=100,
        title="Shortlist",
        description="Of so many times the pictures that are wanted, the least sure, those are taken that differ most.",
    )
    known: FileName = Field(
        default="",
        title="Known",
        description="Corrections made before, such as corrections.csv of the labelled folder: nobody is asked "
        "about these pictures again.",
    )
    seed: int = Field(default=0, ge=0, title="Seed", description="Of draws among equals.")
