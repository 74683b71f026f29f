"""Settings of training; apart from the code they steer, so that a form or a command line need not import torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from models.settings import Settings


class HeadSettings(Settings):
    """How the head on frozen features is trained."""

    members: int = Field(default=5, ge=1, le=32, description="Networks that are averaged.", title="Members")
    hidden_width: int = Field(default=128, ge=4, le=4096, description="Hidden units a network.", title="Hidden width")
    steps: int = Field(default=800, ge=1, le=100_000, description="Steps of training.", title="Steps")
    batch_rows: int = Field(default=128, ge=8, le=4096, description="Rows a step.", title="Batch")
    learning_rate: float = Field(
        default=3e-3, gt=0, le=1, description="Highest rate of the one-cycle schedule.", title="Learning rate"
    )
    input_dropout: float = Field(
        default=0.2, ge=0, lt=1, description="Share of features hidden.", title="Input dropout"
    )
    hidden_dropout: float = Field(
        default=0.5, ge=0, lt=1, description="Share of hidden units dropped.", title="Hidden dropout"
    )
    weight_decays: tuple[float, ...] = Field(
        default=(0.03, 0.3, 3.0),
        min_length=1,
        description="Strengths of regularisation that are tried; the tune split chooses.",
        title="Weight decays",
    )


class ScratchSettings(Settings):
    """How a network is trained from random weights."""

    epochs: int = Field(default=20, ge=1, le=1000, description="Passes over the pictures.", title="Epochs")
    batch_rows: int = Field(default=64, ge=2, le=4096, description="Pictures a step.", title="Batch")
    learning_rate: float = Field(
        default=3e-3, gt=0, le=1, description="Highest rate of the one-cycle schedule.", title="Learning rate"
    )
    weight_decay: float = Field(default=0.05, ge=0, le=10, description="AdamW's weight decay.", title="Weight decay")
    patience: int = Field(
        default=8, ge=1, le=1000, description="Epochs without a better tune score before it stops.", title="Patience"
    )


class TrainingSettings(Settings):
    """What is trained, towards which number."""

    network: str = Field(
        default="efficientnet_lite0",
        description="efficientnet_lite0: frozen ImageNet features and a head; convnet: a small CNN from scratch.",
        title="Network",
    )
    objective: Literal["macro_f1", "balanced_accuracy", "accuracy"] = Field(
        default="macro_f1", description="What regularisation and correction are chosen for.", title="Objective"
    )
    mirrored: bool = Field(
        default=True, description="Learn from every picture's mirror image too (left and right).", title="Mirrored"
    )
    refit_on_tune: bool = Field(
        default=True,
        description="After choosing on the tune split, fit a head once more on train and tune together.",
        title="Refit",
    )
    seed: int = Field(default=0, ge=0, description="Of weights, draws and dropout.", title="Seed")
    head: HeadSettings = Field(default=HeadSettings(), description="For frozen networks.", title="Head")
    scratch: ScratchSettings = Field(
        default=ScratchSettings(), description="For networks trained from scratch.", title="From scratch"
    )
