"""How a network learns from pictures without labels."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from models.learning.training_settings import AugmentSettings
from models.settings import FileName, Settings

Method = Literal["vicreg", "simclr", "patches"]


class PretrainSettings(Settings):
    """How a network learns from pictures without labels."""

    method: Method = Field(
        default="vicreg",
        title="Method",
        description="vicreg, simclr: two varied views of a picture are brought together; patches: a dictionary of "
        "small patches by k-means, which takes seconds and needs no GPU.",
    )
    network: str = Field(
        default="convnet",
        title="Network",
        description="For vicreg and simclr: as in training.network. The method patches has its own.",
    )
    weights: FileName = Field(
        default="",
        title="Weights",
        description="What it starts from: empty: what the network comes with; none; hub; or a safetensors file.",
    )
    size_px: int = Field(
        default=0, ge=0, le=2048, title="Input size", description="Side of the input; 0: what the network is made for."
    )
    channels: Literal[1, 3] = Field(default=3, title="Channels", description="1: luminance only.")
    time_budget_minutes: float = Field(
        default=10, gt=0, le=100_000, title="Time budget", description="Time that it may take."
    )
    epochs: int = Field(default=200, ge=1, le=100_000, title="Epochs", description="Passes over the pictures.")
    batch_rows: int = Field(default=128, ge=8, le=4096, title="Batch", description="Pictures a step, two views each.")
    learning_rate: float = Field(
        default=1e-3, gt=0, le=1, title="Learning rate", description="Highest rate of the cosine schedule."
    )
    weight_decay: float = Field(default=1e-4, ge=0, le=10, title="Weight decay", description="AdamW's weight decay.")
    projector_width: int = Field(
        default=256, ge=8, le=8192, title="Projector", description="Width of the layers that are thrown away behind."
    )
    temperature: float = Field(default=0.5, gt=0, le=10, title="Temperature", description="Of simclr.")
    augment: AugmentSettings = Field(
        default=AugmentSettings(symmetries="mirror", policy="trivial"),
        title="Variation",
        description="What makes two views of a picture; symmetries=none for writing.",
    )
    judge_every: int = Field(
        default=10, ge=1, le=10_000, title="Judge every", description="Epochs between two scores by the labels."
    )
    seed: int = Field(default=0, ge=0, title="Seed", description="Of weights and draws.")
