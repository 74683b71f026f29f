"""How a folder is looked at without labels."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from models.settings import FileName, Settings


class ExploreSettings(Settings):
    """How a folder is looked at without labels."""

    network: str = Field(
        default="efficientnet_lite0", title="Network", description="Whose features pictures are compared by."
    )
    weights: FileName = Field(
        default="",
        title="Weights",
        description="Of the network: empty: what it comes with; or a file, as sortline pretrain writes it.",
    )
    size_px: int = Field(
        default=0, ge=0, le=2048, title="Input size", description="Side of the input; 0: what the network is made for."
    )
    channels: Literal[1, 3] = Field(default=3, title="Channels", description="1: luminance only.")
    method: Literal["kmeans", "hdbscan"] = Field(
        default="kmeans",
        title="Method",
        description="kmeans: every picture is in a cluster, as many as fit best; hdbscan: only what lies densely is.",
    )
    clusters: int = Field(
        default=0, ge=0, le=200, title="Clusters", description="Of kmeans; 0: the number that fits best, 2 to 20."
    )
    most_pictures: int = Field(
        default=20_000, ge=50, title="Pictures", description="That are looked at, by chance where there are more."
    )
    to_label: int = Field(
        default=50, ge=1, le=10_000, title="To label", description="Pictures that are suggested to be labelled first."
    )
    outlier_share: float = Field(
        default=0.02, gt=0, lt=0.5, title="Outliers", description="Share of the pictures that are shown as odd."
    )
    duplicate_likeness: float = Field(
        default=0.995, gt=0.5, le=1, title="Near copies", description="Cosine of features from which on two are alike."
    )
    seed: int = Field(default=0, ge=0, title="Seed", description="Of clusters, map and draws.")
