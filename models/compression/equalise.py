"""What makes a float graph ready for 8 bits: channels of like range, and biases that make up for rounded weights.

Both change weights only. Channels between two convolutions are scaled so that each fills the range that all share
(Nagel et al., arXiv 1906.04721, section 4.1, by measured ranges); behind it, what rounding the weights adds to the mean
of each channel is taken from its bias (section 4.2).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from models.serving.session import ImageSession

Floats = NDArray[np.float64]
Pixels = NDArray[np.uint8]
# 7 bits of weights: sums of two products of 8 by 8 bits overflow in 16 bits on machines without VNNI, and wrong
# answers there would be other answers than here.
WEIGHT_LEVELS = 64
# A channel is left room above what calibration saw of it.
_HEADROOM = 1.1
_LARGEST_SCALE = 50.0


class _Pair(NamedTuple):
    """Two convolutions with nothing between them but a limit at zero, and perhaps one above."""

    first: onnx.NodeProto
    between: onnx.NodeProto
    second: onnx.NodeProto


def equalised(model: onnx.ModelProto, calibration: Pixels) -> onnx.ModelProto:
    """The same function, as far as calibration tells, with channels that fill the range they share."""
    changed = _copy(model)
    weights = {tensor.name: tensor for tensor in changed.graph.initializer}
    pairs = list(_pairs(changed.graph, weights))
    largest = _channel_values(changed, [p.between.output[0] for p in pairs], calibration, np.max)
    for pair in pairs:
        tops = largest[pair.between.output[0]].max(0)
        if tops.max() <= 0:
            continue
        scale = np.clip(tops.max() / np.maximum(tops * _HEADROOM, 1e-12), 1.0, _LARGEST_SCALE)
        _scale(weights[pair.first.input[1]], scale.reshape(-1, 1, 1, 1))
        _scale(weights[pair.first.input[2]], scale)
        is_depthwise = _group(pair.second) > 1
        _scale(weights[pair.second.input[1]], 1 / scale.reshape((-1, 1, 1, 1) if is_depthwise else (1, -1, 1, 1)))
    return changed


def with_corrected_biases(model: onnx.ModelProto, calibration: Pixels, kept: Sequence[str]) -> onnx.ModelProto:
    """The graph with biases that make up for rounded weights, for every convolution but those that are `kept` float."""
    changed = _copy(model)
    weights = {tensor.name: tensor for tensor in changed.graph.initializer}
    nodes = [
        n for n in convolutions(changed.graph) if n.name not in kept and len(n.input) == 3 and _is_simple(n, weights)
    ]
    means = _channel_values(changed, sorted({node.input[0] for node in nodes}), calibration, np.mean)
    for node in nodes:
        weight = numpy_helper.to_array(weights[node.input[1]]).astype(np.float64)
        error = _rounding_error(weight).sum((2, 3))
        mean = means[node.input[0]].mean(0)
        shift = (error * (mean[:, None] if _group(node) > 1 else mean[None])).sum(1)
        _put(weights[node.input[2]], numpy_helper.to_array(weights[node.input[2]]) + shift)
    return changed


def convolutions(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """In the order of the graph."""
    return [node for node in graph.node if node.op_type == "Conv"]


def _pairs(graph: onnx.GraphProto, weights: dict[str, onnx.TensorProto]) -> Iterator[_Pair]:
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    outputs = {output.name for output in graph.output}
    for first in convolutions(graph):
        between = _only(readers.get(first.output[0], []))
        if between is None or between.op_type not in ("Relu", "Clip") or between.output[0] in outputs:
            continue
        second = _only(readers.get(between.output[0], []))
        is_pair = second is not None and second.op_type == "Conv" and len(first.input) == 3
        if second is not None and is_pair and all(_is_simple(n, weights) for n in (first, second)):
            yield _Pair(first, between, second)


def _copy(model: onnx.ModelProto) -> onnx.ModelProto:
    copied = onnx.ModelProto()
    copied.CopyFrom(model)
    return copied


def _only(nodes: list[onnx.NodeProto]) -> onnx.NodeProto | None:
    return nodes[0] if len(nodes) == 1 else None


def _group(node: onnx.NodeProto) -> int:
    return next((entry.i for entry in node.attribute if entry.name == "group"), 1)


def _is_simple(node: onnx.NodeProto, weights: dict[str, onnx.TensorProto]) -> bool:
    """Whether its weights are in the file, and it is dense or depthwise on the plane."""
    if any(name not in weights for name in node.input[1:]):
        return False
    shape = tuple(weights[node.input[1]].dims)
    return len(shape) == 4 and (_group(node) == 1 or (shape[1] == 1 and _group(node) == shape[0]))


def _rounding_error(weight: Floats) -> Floats:
    """What is lost of a weight (out, in, h, w) in 7 bits a channel."""
    step = np.abs(weight).max((1, 2, 3), keepdims=True) / WEIGHT_LEVELS
    step[step == 0] = 1
    return np.asarray(weight - np.round(weight / step) * step)


def _channel_values(
    model: onnx.ModelProto, names: Sequence[str], pictures: Pixels, reduce: object
) -> dict[str, Floats]:
    """(N, C) by name: a value of each channel's map for each picture."""
    opened = _copy(model)
    known = {output.name for output in opened.graph.output}
    opened.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in names if name not in known)
    session = ImageSession(opened.SerializeToString())
    found: dict[str, list[Floats]] = {name: [] for name in names}
    for picture in pictures:
        for name, maps in session.run(picture, names).items() if names else ():
            found[name].append(reduce(maps.astype(np.float64), axis=(1, 2)))  # type: ignore[operator]
    return {name: np.stack(rows) for name, rows in found.items()}


def _scale(tensor: onnx.TensorProto, scale: Floats) -> None:
    _put(tensor, numpy_helper.to_array(tensor) * scale)


def _put(tensor: onnx.TensorProto, values: NDArray[np.floating]) -> None:
    tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float32), tensor.name))
