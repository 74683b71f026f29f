"""What a change of an ONNX node's output means for its inputs: the few operators between pooled maps and logits.

All arrays keep the batch axis, of length 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

Floats = NDArray[np.float64]
Arrays = Mapping[str, Floats]
# Gradients of the inputs by name, from the node, the gradient of its output, and all values and weights by name.
Step = Callable[[onnx.NodeProto, Floats, Arrays], dict[str, Floats]]
# Axes that a pool may take together, and the axis of the channels that it leaves.
CHANNEL_AXES: dict[tuple[int, ...], int] = {(2, 3): 1, (1, 2): 3}
_AXES_IN_INPUT = ("ReduceMean", "ReduceMax")


def attributes_of(node: onnx.NodeProto) -> dict[str, Any]:
    """The node's attributes by name."""
    return {entry.name: helper.get_attribute_value(entry) for entry in node.attribute}


def pooled_axes(node: onnx.NodeProto, arrays: Arrays) -> tuple[int, ...]:
    """Axes of a map that a pool takes together, sorted; empty where they are not in the file."""
    if node.op_type not in _AXES_IN_INPUT:
        return (2, 3)
    if len(node.input) < 2 or node.input[1] not in arrays:
        return ()
    return tuple(sorted(int(axis) % 4 for axis in np.ravel(arrays[node.input[1]])))


def _same_numbers(node: onnx.NodeProto, slope: Floats, arrays: Arrays) -> dict[str, Floats]:
    return {node.input[0]: slope.reshape(arrays[node.input[0]].shape)}


def _gemm(node: onnx.NodeProto, slope: Floats, arrays: Arrays) -> dict[str, Floats]:
    given = attributes_of(node)
    weight = arrays[node.input[1]]
    across = weight if given.get("transB", 0) else weight.T
    return {node.input[0]: given.get("alpha", 1.0) * slope @ across}


def _matmul(node: onnx.NodeProto, slope: Floats, arrays: Arrays) -> dict[str, Floats]:
    return {node.input[0]: slope @ arrays[node.input[1]].T}


def _add(node: onnx.NodeProto, slope: Floats, _: Arrays) -> dict[str, Floats]:
    first, second = node.input
    return {first: 2 * slope} if first == second else {first: slope, second: slope}


def _subtract(node: onnx.NodeProto, slope: Floats, _: Arrays) -> dict[str, Floats]:
    return {node.input[1]: -slope, node.input[0]: slope}


def _multiply(node: onnx.NodeProto, slope: Floats, arrays: Arrays) -> dict[str, Floats]:
    first, second = node.input
    return {first: slope * arrays[second], second: slope * arrays[first]}


def _divide(node: onnx.NodeProto, slope: Floats, arrays: Arrays) -> dict[str, Floats]:
    return {node.input[0]: slope / arrays[node.input[1]]}


def _relu(node: onnx.NodeProto, slope: Floats, arrays: Arrays) -> dict[str, Floats]:
    return {node.input[0]: slope * (arrays[node.input[0]] > 0)}


def _clip(node: onnx.NodeProto, slope: Floats, arrays: Arrays) -> dict[str, Floats]:
    value, limits = arrays[node.input[0]], [arrays.get(name) for name in node.input[1:]]
    low, high = (*limits, None, None)[:2]
    inside = (True if low is None else value > low) & (True if high is None else value < high)
    return {node.input[0]: slope * inside}


def _hard_swish(node: onnx.NodeProto, slope: Floats, arrays: Arrays) -> dict[str, Floats]:
    value = arrays[node.input[0]]
    return {node.input[0]: slope * np.where(value < -3, 0.0, np.where(value > 3, 1.0, value / 3 + 0.5))}


def _concat(node: onnx.NodeProto, slope: Floats, arrays: Arrays) -> dict[str, Floats]:
    axis = attributes_of(node)["axis"]
    ends = np.cumsum([arrays[name].shape[axis] for name in node.input])[:-1]
    return dict(zip(node.input, np.split(slope, ends, axis=axis), strict=True))


def _mean_pool(node: onnx.NodeProto, slope: Floats, arrays: Arrays) -> dict[str, Floats]:
    maps, axes = arrays[node.input[0]], pooled_axes(node, arrays)
    places = maps.shape[axes[0]] * maps.shape[axes[1]]
    return {node.input[0]: np.broadcast_to(_unpooled(slope, maps, axes) / places, maps.shape)}


def _max_pool(node: onnx.NodeProto, slope: Floats, arrays: Arrays) -> dict[str, Floats]:
    """All of it to the place of the maximum; equal ones share."""
    maps, axes = arrays[node.input[0]], pooled_axes(node, arrays)
    highest = maps == maps.max(axes, keepdims=True)
    return {node.input[0]: _unpooled(slope, maps, axes) * highest / highest.sum(axes, keepdims=True)}


def _unpooled(slope: Floats, maps: Floats, axes: tuple[int, ...]) -> Floats:
    """The gradient with the axes that the pool took away, of length 1 each."""
    return slope.reshape([1 if axis in axes else side for axis, side in enumerate(maps.shape)])


POOLS: dict[str, Step] = {
    "ReduceMean": _mean_pool,
    "GlobalAveragePool": _mean_pool,
    "ReduceMax": _max_pool,
    "GlobalMaxPool": _max_pool,
}
# Operators that change the shape at most; of a map only the layout that torch flattens.
RESHAPES = ("Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Cast", "Dropout")
ELEMENTWISE: dict[str, Step] = {
    "Add": _add,
    "Sub": _subtract,
    "Mul": _multiply,
    "Div": _divide,
    "Relu": _relu,
    "Clip": _clip,
    "HardSwish": _hard_swish,
}
STEPS: dict[str, Step] = {
    **POOLS,
    **dict.fromkeys(RESHAPES, _same_numbers),
    **ELEMENTWISE,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "Concat": _concat,
}
