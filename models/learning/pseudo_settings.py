"""Whether pictures without labels are learned from too."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from models.settings import FileName, Settings


class PseudoSettings(Settings):
    """Whether pictures without labels are learned from too, by what a first model says of them."""

    folder: FileName = Field(
        default="",
        title="Unlabelled folder",
        description="Pictures without labels. A first model names those that it is sure of, and a second one learns "
        "from them too; it is kept only where tune shows that it is better. Empty: off.",
    )
    precision: float = Field(
        default=0.95,
        gt=0.5,
        lt=1,
        title="Precision",
        description="Share of right names among those that are believed, on tune; the threshold follows from it.",
    )
    weight: float = Field(
        default=0.5, gt=0, le=1, title="Weight", description="Of a picture that a model named, in learning."
    )
    policy: Literal["none", "light", "trivial", "rand"] = Field(
        default="trivial",
        title="Policy",
        description="How pictures are varied for the second model where a network is trained: named as they are, "
        "learned from strongly varied (FixMatch).",
    )
    most_pictures: int = Field(
        default=20_000, ge=1, title="Pictures", description="Of the folder, drawn by chance where there are more."
    )
