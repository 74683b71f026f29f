"""Which way a bundle's maps are made, and with which of its model files."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.artifacts.durable import read_plain
from models.errors import ArtifactChanged, SettingsError
from models.judging.activation_maps import ActivationMapper
from models.judging.explain_settings import ExplainSettings
from models.judging.occlusion import occlusion_map
from models.serving.bundle import MANIFEST_FILE, MODEL_FILE, Bundle, served_file
from models.serving.session import ImageSession

# Variants that are the float model beside them in coarser numbers; others are networks of their own.
_ROUNDED = ("int8", "float16")
_MOST_BYTES = 2**31
_log = logging.getLogger(__name__)


class MadeMap(NamedTuple):
    """One map.

    Attributes:
        heat: (H, W) float32 over the pixels of the contract; above zero speaks for the class, below against it.
        source: the model file that it was made with.
        largest_drop: of the probability where occlusion hides a place, averaged as in the map; None for activation.
    """

    heat: NDArray[np.float32]
    source: str
    largest_drop: float | None = None


# From (H, W, 3) uint8 pixels and the position of a class.
MapMaker = Callable[[NDArray[np.uint8], int], MadeMap]


def map_maker(bundle: Bundle, session: ImageSession, settings: ExplainSettings) -> MapMaker:
    """What makes a bundle's maps; threads may share it.

    Args:
        bundle: whose model is looked into.
        session: of its served model.
        settings: which way.

    Raises:
        SettingsError: activation maps are asked for, and the model has none.
        ArtifactChanged: the float model beside a rounded one is not the one that was sealed.
    """
    if settings.method != "occlusion":
        try:
            return _activation_maker(bundle)
        except SettingsError as error:
            if settings.method == "activation":
                raise
            _log.info("%s; occlusion is used", error)
    return _occlusion_maker(bundle, session, settings)


def float_model(bundle: Bundle) -> bytes:
    """The model of a bundle as it was exported, checked against the manifest that the bundle was read by.

    Raises:
        ArtifactChanged: it is not what was sealed.
    """
    manifest = _checked(bundle.folder / MANIFEST_FILE, bundle.sha256)
    return _checked(bundle.folder / MODEL_FILE, json.loads(manifest)[MODEL_FILE]["sha256"])


def _activation_maker(bundle: Bundle) -> MapMaker:
    source = served_file(bundle.card)
    try:
        mapper = ActivationMapper(bundle.onnx_bytes)
    except SettingsError:
        if bundle.card.variant not in _ROUNDED:
            raise
        source, mapper = MODEL_FILE, ActivationMapper(float_model(bundle))

    def make(pixels: NDArray[np.uint8], class_index: int) -> MadeMap:
        height_px, width_px = pixels.shape[:2]
        return MadeMap(mapper.map_of(pixels, class_index).heat(width_px, height_px), source)

    return make


def _occlusion_maker(bundle: Bundle, session: ImageSession, settings: ExplainSettings) -> MapMaker:
    source = served_file(bundle.card)

    def make(pixels: NDArray[np.uint8], class_index: int) -> MadeMap:
        heat = occlusion_map(session, pixels, class_index, settings.patch_share, settings.stride_share)
        return MadeMap(heat, source, float(heat.max()))

    return make


def _checked(path: Path, sha256: str) -> bytes:
    data = read_plain(path, _MOST_BYTES, lambda what: _changed(path, f"is {what}"))
    if data is None or hashlib.sha256(data).hexdigest() != sha256:
        raise _changed(path, "is gone" if data is None else "has other bytes")
    return data


def _changed(path: Path, what: str) -> ArtifactChanged:
    return ArtifactChanged(f"{path} {what}", "the file as it was sealed", "Train anew or restore the bundle.")
