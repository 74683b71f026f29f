"""The preprocessing contract: the one way from a decoded picture to the numbers a network sees.

Training, evaluation and scoring call the same object, and its digest is written into every model file.
"""

from __future__ import annotations

import hashlib
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer

# At what size a JPEG is decoded: its own, or the smallest of libjpeg's that is still so many times the network's.
JpegScale = Literal["full", "at_least_3x", "at_least_2x"]
_TIMES = {"at_least_3x": 3, "at_least_2x": 2}
_FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


class Preprocess(BaseModel):
    """What happens to a picture before the graph; everything after it is inside the ONNX file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    decoder: Literal["pillow"] = "pillow"
    orientation: Literal["exif"] = "exif"
    colour: Literal["rgb"] = "rgb"
    sixteen_bit: Literal["high_byte"] = "high_byte"
    alpha: Literal["on_white"] = "on_white"
    frames: Literal["first"] = "first"
    resize: Literal["stretch"] = "stretch"
    resize_filter: Literal["bilinear", "bicubic"] = "bilinear"
    jpeg_scale: JpegScale = "full"
    width_px: int
    height_px: int
    layout: Literal["nhwc_uint8"] = "nhwc_uint8"

    @model_serializer(mode="wrap")
    def _written(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """As contracts were written before there was a scale, where there is none: equal contracts, equal digests."""
        found: dict[str, Any] = write(self)
        if self.jpeg_scale == "full":
            del found["jpeg_scale"]
        return found

    @property
    def draft_px(self) -> int | None:
        """Pixels that both sides of a decoded JPEG keep; None where it is decoded at its own size."""
        times = _TIMES.get(self.jpeg_scale)
        return times * max(self.width_px, self.height_px) if times else None

    @property
    def digest(self) -> str:
        """Hex sha256 of the contract."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()

    def apply(self, rgb: Image.Image) -> NDArray[np.uint8]:
        """(height_px, width_px, 3) uint8, 0..255, of an upright RGB picture of any size."""
        size = (self.width_px, self.height_px)
        return np.asarray(rgb.resize(size, _FILTERS[self.resize_filter]))
