"""Class activation maps from an exported model alone: what each place of its maps adds to a class's logit.

For a mean over places and one linear layer this is CAM (arXiv 1512.04150), and Grad-CAM (arXiv 1610.02391) without its
ReLU gives the same. Behind hidden layers the logit is linear around the picture, and the map is exact for that.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper
from PIL import Image

from models.errors import SettingsError
from models.judging.gradient_route import Route, find_route
from models.judging.gradient_steps import STEPS, Floats
from models.serving.session import ImageSession


class ActivationMap(NamedTuple):
    """Where a logit comes from.

    Attributes:
        logit: of the class.
        stages: one (h, w) float64 for each of the maps that are pooled: what each place adds to the logit.
        rest: what no place accounts for, such as biases; `logit` is the sum of all stages and this.
    """

    logit: float
    stages: tuple[Floats, ...]
    rest: float

    def heat(self, width_px: int, height_px: int) -> NDArray[np.float32]:
        """(height_px, width_px) of all stages; their mean is what all places together add to the logit."""
        total = np.zeros((height_px, width_px), dtype=np.float32)
        for stage in self.stages:
            density = Image.fromarray((stage * stage.size).astype(np.float32))
            total += np.asarray(density.resize((width_px, height_px), Image.Resampling.BILINEAR))
        return total


class ActivationMapper:
    """A model with its maps as further outputs, in memory; threads may share it.

    Raises:
        SettingsError: its graph is not one of maps that are pooled, and linear layers behind them.
    """

    def __init__(self, onnx_bytes: bytes) -> None:
        model = onnx.load_from_string(onnx_bytes)
        self._route = find_route(model)
        known = {output.name for output in model.graph.output}
        model.graph.output.extend(
            helper.make_empty_tensor_value_info(name) for name in self._route.values if name not in known
        )
        self._session = ImageSession(model.SerializeToString())
        # Copies in another order show here, before any picture of a user.
        sides = [side.dim_value for side in model.graph.input[0].type.tensor_type.shape.dim][1:]
        self.map_of(np.random.default_rng(0).integers(0, 256, sides, dtype=np.uint8), 0)

    def map_of(self, pixels: NDArray[np.uint8], class_index: int) -> ActivationMap:
        """The map of one class.

        Args:
            pixels: (H, W, 3) uint8, as the model's contract makes them.
            class_index: position of the class.
        """
        route = self._route
        found = self._session.run_block(pixels[np.newaxis], route.values)
        arrays = {**route.weights, **{name: np.asarray(value, np.float64) for name, value in found.items()}}
        for copy, source in route.copies.items():
            _require_copy(arrays[copy], arrays[source])
        slopes = _slopes(route, arrays, class_index)
        stages = tuple(
            (slopes[name] * arrays[name]).sum(axis, keepdims=False)[0] for name, axis in route.channel_axes.items()
        )
        logit = float(arrays[route.logits][0, class_index])
        return ActivationMap(logit, stages, logit - float(sum(stage.sum() for stage in stages)))


def _slopes(route: Route, arrays: dict[str, Floats], class_index: int) -> dict[str, Floats]:
    """How the logit changes with each value on the route."""
    start = np.zeros_like(arrays[route.logits])
    start[0, class_index] = 1
    slopes = {route.logits: start}
    for node in route.steps:
        found = STEPS[node.op_type](node, slopes[node.output[0]], arrays)
        for name in found.keys() - route.weights.keys():
            slopes[name] = slopes[name] + found[name] if name in slopes else found[name]
    return slopes


def _require_copy(copy: Floats, source: Floats) -> None:
    if not np.array_equal(copy.ravel(), source.ravel()):
        raise SettingsError(
            "the model gives no activation maps: it lays out pooled maps in another order",
            "pooled maps as they are",
            "Set method=occlusion.",
        )
