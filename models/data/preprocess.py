"""The preprocessing contract: the one way from a decoded picture to the numbers a network sees.

Training, evaluation and scoring call the same object, and its digest is written into every model file.
"""

from __future__ import annotations

import hashlib
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, ConfigDict

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
    width_px: int
    height_px: int
    layout: Literal["nhwc_uint8"] = "nhwc_uint8"

    @property
    def digest(self) -> str:
        """Hex sha256 of the contract."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()

    def apply(self, rgb: Image.Image) -> NDArray[np.uint8]:
        """(height_px, width_px, 3) uint8, 0..255, of an upright RGB picture of any size."""
        size = (self.width_px, self.height_px)
        return np.asarray(rgb.resize(size, _FILTERS[self.resize_filter]))
