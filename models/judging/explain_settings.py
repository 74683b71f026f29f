"""How maps of what a model looked at are made; apart from the making, so that a command line need not import onnx."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from models.settings import Settings

Method = Literal["auto", "activation", "occlusion"]


class ExplainSettings(Settings):
    """How it is found where a model looked."""

    method: Method = Field(
        default="auto",
        title="Method",
        description="auto: activation maps where the model has them, else occlusion, which takes many times as long.",
    )
    patch_share: float = Field(
        default=0.143, ge=0.01, le=1, title="Patch", description="Side of what occlusion hides, of the picture's sides."
    )
    stride_share: float = Field(
        default=0.5, ge=0.05, le=1, title="Stride", description="How far a patch moves, of its side."
    )
