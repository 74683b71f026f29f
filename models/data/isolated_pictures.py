"""Odd pictures, decoded and prepared in worker processes: a decoder's crash or a bomb costs one row."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.data.isolation import IsolationSettings, Job, WorkerPool
from models.data.limits import DecodeLimits
from models.data.look import Look
from models.data.preprocess import Preprocess


class Prepared(NamedTuple):
    """What a worker made of one file; `pixels`, (height_px, width_px, 3) uint8, is None where `status` is not ok."""

    status: str
    reason: str | None = None
    sha256: str | None = None
    size_bytes: int | None = None
    look: Look | None = None
    pixels: NDArray[np.uint8] | None = None


class PicturePool(WorkerPool[Prepared]):
    """Workers that decode and prepare the files of one folder for one model."""

    def __init__(
        self, folder: Path, limits: DecodeLimits, isolation: IsolationSettings, preprocess: Preprocess
    ) -> None:
        told = {"preprocess": preprocess.model_dump(mode="json")}
        super().__init__(Job("models.data.picture_worker", folder, limits, told), isolation)
        self._shape = (preprocess.height_px, preprocess.width_px, 3)

    def read(self, values: list[Any]) -> Prepared:
        """What a worker made."""
        status, reason, sha256, size_bytes, look, text = values
        pixels = None if text is None else np.frombuffer(base64.b64decode(text), dtype=np.uint8)
        shaped = None if pixels is None else pixels.reshape(self._shape)
        return Prepared(status, reason, sha256, size_bytes, Look(*look) if look else None, shaped)

    def lost(self, status: str, reason: str) -> Prepared:
        """What is known of a file that no worker survived."""
        return Prepared(status, reason)
