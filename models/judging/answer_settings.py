"""When a model is to give several classes, none, or call a picture foreign."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from models.settings import Settings


class AnswerSettings(Settings):
    """When a model is to give several classes, none, or call a picture foreign; all of it is fitted on tune."""

    set_coverage: float = Field(
        default=0.9,
        ge=0.5,
        lt=1,
        title="Coverage of sets",
        description="Share of the pictures of each class whose set of classes is to hold the true one.",
    )
    max_risk: float = Field(
        default=0,
        ge=0,
        lt=1,
        title="Largest risk",
        description="Share of wrong answers among those given; less sure pictures get none. 0: all are answered.",
    )
    min_coverage: float = Field(
        default=0,
        ge=0,
        le=1,
        title="Least coverage",
        description="Share of pictures that is answered, in the place of a largest risk. 0: it is not stated.",
    )
    foreign: Literal["on", "off"] = Field(
        default="on", title="Foreign pictures", description="Say how unlike the training pictures a picture is."
    )
    false_alarm_rate: float = Field(
        default=0.05,
        gt=0,
        lt=0.5,
        title="False alarms",
        description="Share of known pictures that may be called foreign.",
    )
    neighbours: int = Field(
        default=10, ge=1, le=100, title="Neighbours", description="Distance is to so many-th nearest training picture."
    )
    bank_rows: int = Field(
        default=300,
        ge=10,
        le=5000,
        title="Kept training pictures",
        description="As embeddings in the model file, to which pictures are compared.",
    )

    @model_validator(mode="after")
    def _states_one_wish(self) -> Self:
        if self.max_risk and self.min_coverage:
            raise ValueError("state max_risk or min_coverage, not both")
        return self
