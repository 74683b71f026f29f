"""How a champion is adapted to a site."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from models.settings import Settings


class AdaptSettings(Settings):
    """How a champion is adapted to a site."""

    align: bool = Field(
        default=True,
        title="Align",
        description="Bring the site's embeddings to the spread that the champion knows; needs no labels.",
    )
    align_from_pictures: int = Field(
        default=100,
        ge=20,
        title="Align from",
        description="With fewer pictures of the site than this, labelled or not, their spread is not believed.",
    )
    leave_out: tuple[str, ...] = Field(
        default=(), title="Leave out", description="Classes of the champion that this site does not have."
    )
    least_labelled: int = Field(
        default=5,
        ge=2,
        title="Labelled pictures",
        description="Of each class of the site, where there are labels; with fewer nothing could be held out.",
    )
    base_share: float = Field(
        default=0.3,
        ge=0,
        le=1,
        title="Champion's share",
        description="How much of the champion's logits stays in the answers where the site has labels.",
    )
    penalties: tuple[float, ...] = Field(
        default=(0.01, 0.003, 0.1),
        min_length=1,
        title="Penalties",
        description="On the site's own weights, a feature. The first is taken unless held-out labelled pictures say "
        "clearly that another is better.",
    )
    folds: int = Field(default=5, ge=2, le=20, title="Folds", description="Of the labelled pictures.")
    least_sureness: float = Field(
        default=0.8,
        ge=0.5,
        le=1,
        title="Sureness",
        description="Share of resamples of the held-out pictures in which it has to be better than the champion.",
    )
    without_proof: bool = Field(
        default=False,
        title="Without proof",
        description="Take an adaptation also where the site has no labels by which it could be judged.",
    )
    class_prior: Literal["as_labelled", "estimated"] = Field(
        default="as_labelled",
        title="Class prior",
        description="estimated: scores are right for the mix of classes that all pictures of the site let expect; "
        "as_labelled: for the mix among the labelled ones.",
    )
    seed: int = Field(default=0, ge=0, title="Seed", description="Of folds and resamples.")
