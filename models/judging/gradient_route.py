"""The way back from a model's logits to the maps that they are made of, found in its ONNX graph alone."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import onnx
from onnx import numpy_helper

from models.errors import SettingsError
from models.judging.gradient_steps import (
    CHANNEL_AXES,
    ELEMENTWISE,
    POOLS,
    RESHAPES,
    Floats,
    attributes_of,
    pooled_axes,
)

_ANSWERS = ("Softmax", "Sigmoid")
# Torch flattens channels first.
_FLATTENED_CHANNEL_AXIS = 1
Shape = tuple[int, ...]


class Route(NamedTuple):
    """What lies between maps and logits.

    Attributes:
        logits: name of the value that becomes probabilities.
        steps: the nodes from the logits back to the maps, each behind all that read it.
        channel_axes: axis of the channels by name of the maps, which have the batch axis too.
        copies: a value's name by that of one which has to hold the same numbers.
        weights: by name; those that the steps read.
        values: names of all values that the steps read, logits and maps among them.
    """

    logits: str
    steps: tuple[onnx.NodeProto, ...]
    channel_axes: dict[str, int]
    copies: dict[str, str]
    weights: dict[str, Floats]
    values: tuple[str, ...]


def find_route(model: onnx.ModelProto) -> Route:
    """The route of a model that ends in linear layers behind pooled or flattened maps.

    Raises:
        SettingsError: the graph is another one, as that of a network without pooled maps, or one in integers.
    """
    return _Search(model).route()


class _Search:
    """One walk from the logits back."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._graph = model.graph
        self._weights = {tensor.name: tensor for tensor in model.graph.initializer}
        self._makers = {name: node for node in model.graph.node for name in node.output}
        self._shapes = shapes_of(model)
        self._taken: dict[str, tuple[str, ...]] = {}
        self._channel_axes: dict[str, int] = {}
        self._copies: dict[str, str] = {}

    def route(self) -> Route:
        """The route, once every value on it is known to be passed."""
        last = self._makers.get("probabilities")
        if last is None or last.op_type not in _ANSWERS:
            raise _refusal("its probabilities are not a softmax or sigmoid of logits")
        waiting = [last.input[0]]
        while waiting:
            name = waiting.pop()
            if name not in self._taken:
                waiting += [source for source in self._sources(name) if source not in self._channel_axes]
        if not self._channel_axes:
            raise _refusal("its logits are not made of maps")
        return self._found(last.input[0])

    def _found(self, logits: str) -> Route:
        steps = tuple(
            self._relinked(node) for node in reversed(self._graph.node) if node.output and node.output[0] in self._taken
        )
        read = {name for node in steps for name in node.input}
        weights = {
            name: np.asarray(numpy_helper.to_array(self._weights[name]), dtype=np.float64)
            for name in sorted(read & set(self._weights))
        }
        values = tuple(sorted({*self._taken, *self._channel_axes}))
        return Route(logits, steps, self._channel_axes, self._copies, weights, values)

    def _relinked(self, node: onnx.NodeProto) -> onnx.NodeProto:
        """The node; one that only copies, as one that says so."""
        name = node.output[0]
        return onnx.helper.make_node("Identity", [self._copies[name]], [name]) if name in self._copies else node

    def _sources(self, name: str) -> tuple[str, ...]:
        """The values that a value is made of, once its node is known to be one of those that can be passed."""
        node = self._makers.get(name)
        if node is None:
            raise _refusal("its logits come from the picture without maps between")
        sources = self._copied(node) or self._read_by(node)
        self._taken[name] = sources
        for source in sources:
            self._note_maps(node, source)
        return sources

    def _read_by(self, node: onnx.NodeProto) -> tuple[str, ...]:
        kind, inputs = node.op_type, tuple(node.input)
        variable = tuple(name for name in inputs if name and name not in self._weights)
        if kind in ELEMENTWISE and self._is_plain(node, variable):
            return variable
        if kind == "Concat" and variable == inputs:
            return variable
        if kind in ("Gemm", "MatMul") and variable == inputs[:1] and not attributes_of(node).get("transA", 0):
            return variable
        if kind in RESHAPES and self._keeps_order(node):
            return inputs[:1]
        if kind in POOLS and pooled_axes(node, self._axes_of(node)) in CHANNEL_AXES:
            return inputs[:1]
        raise _refusal(f"{kind} stands between its maps and its logits")

    def _is_plain(self, node: onnx.NodeProto, variable: tuple[str, ...]) -> bool:
        """Whether numbers meet one to one, and a product or quotient has but one factor that the picture changes."""
        if node.op_type in ("Mul", "Div") and len(variable) != 1:
            return False
        if node.op_type == "Div" and node.input[1] in variable:
            return False
        wanted = self._shapes.get(node.output[0])
        return wanted is not None and all(self._shapes.get(name) == wanted for name in variable)

    def _keeps_order(self, node: onnx.NodeProto) -> bool:
        """Whether numbers stay in their order, as those of one axis do when it is moved."""
        shape = self._shapes.get(node.output[0])
        return node.op_type != "Transpose" or (shape is not None and sum(side > 1 for side in shape) < 2)

    def _axes_of(self, node: onnx.NodeProto) -> dict[str, Floats]:
        return {
            name: np.asarray(numpy_helper.to_array(self._weights[name]), dtype=np.float64)
            for name in node.input[1:]
            if name in self._weights
        }

    def _copied(self, node: onnx.NodeProto) -> tuple[str, ...]:
        """What torch's exporter makes of as_strided: all numbers of a value laid out anew, in what may be their order.

        Whether it is their order is seen where the graph runs.
        """
        flat = self._makers.get(node.input[0]) if node.op_type == "Gather" else None
        if flat is None or flat.op_type != "Reshape":
            return ()
        source, shape = flat.input[0], self._shapes.get(node.output[0])
        if shape is None or self._shapes.get(source) != shape:
            return ()
        self._copies[node.output[0]] = source
        return (source,)

    def _note_maps(self, node: onnx.NodeProto, source: str) -> None:
        """Keeps a source that has places as one of the maps, where its reader is one that takes maps apart."""
        shape = self._shapes.get(source)
        if shape is None:
            raise _refusal(f"the shape of {source} is not in it")
        is_pool = node.op_type in POOLS
        if not is_pool and not (len(shape) == 3 and sum(side > 1 for side in shape) > 1):
            return
        axis = CHANNEL_AXES[pooled_axes(node, self._axes_of(node))] if is_pool else _FLATTENED_CHANNEL_AXIS
        if self._channel_axes.setdefault(source, axis) != axis:
            raise _refusal(f"{source} is read in two layouts")


def shapes_of(model: onnx.ModelProto) -> dict[str, Shape]:
    """Shapes by name, without the batch axis; only of values all of whose other sides are known."""
    try:
        inferred = onnx.shape_inference.infer_shapes(model).graph
    except (onnx.shape_inference.InferenceError, ValueError, RuntimeError):
        inferred = model.graph
    found = {}
    for value in (*inferred.value_info, *inferred.input, *inferred.output):
        sides = [side.dim_value for side in value.type.tensor_type.shape.dim]
        if sides and all(side > 0 for side in sides[1:]):
            found[value.name] = tuple(sides[1:])
    return found


def _refusal(reason: str) -> SettingsError:
    return SettingsError(
        f"the model gives no activation maps: {reason}",
        "pooled or flattened maps behind which only linear layers and ReLUs stand",
        "Set method=occlusion.",
    )
