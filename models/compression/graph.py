"""Convolutions in an ONNX graph: who reads what, weights, and what a channel holds on real pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from models.parallel import map_in_threads
from models.serving.session import ImageSession

Floats = NDArray[np.float64]
Pixels = NDArray[np.uint8]
Tensors = dict[str, onnx.TensorProto]
_ACTIVATIONS = ("Relu", "Clip")


def copy_of(model: onnx.ModelProto) -> onnx.ModelProto:
    """A model to be changed, without changing the one that was handed in."""
    copied = onnx.ModelProto()
    copied.CopyFrom(model)
    return copied


def tensors_of(graph: onnx.GraphProto) -> Tensors:
    """The graph's weights by name."""
    return {tensor.name: tensor for tensor in graph.initializer}


def convolutions(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """In the order of the graph."""
    return [node for node in graph.node if node.op_type == "Conv"]


def group_of(node: onnx.NodeProto) -> int:
    """Number of groups of a convolution."""
    return next((entry.i for entry in node.attribute if entry.name == "group"), 1)


def is_plain(node: onnx.NodeProto, tensors: Tensors) -> bool:
    """Whether weights and bias are in the file, and the convolution is dense or depthwise on the plane."""
    if len(node.input) != 3 or any(name not in tensors for name in node.input[1:]):
        return False
    shape = tuple(tensors[node.input[1]].dims)
    return len(shape) == 4 and (group_of(node) == 1 or (shape[1] == 1 and group_of(node) == shape[0]))


class Readers:
    """Who reads each value of a graph."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._outputs = {output.name for output in graph.output}
        self._readers: dict[str, list[onnx.NodeProto]] = {}
        for node in graph.node:
            for name in node.input:
                self._readers.setdefault(name, []).append(node)

    def only(self, name: str) -> onnx.NodeProto | None:
        """The one node that reads a value; None where there are others, or it is an output."""
        readers = self._readers.get(name, [])
        return readers[0] if len(readers) == 1 and name not in self._outputs else None

    def next_convolution(self, node: onnx.NodeProto, tensors: Tensors) -> onnx.NodeProto | None:
        """The plain convolution that alone reads a plain one, behind one limit of values."""
        between = self.only(node.output[0])
        if between is None or between.op_type not in _ACTIVATIONS:
            return None
        found = self.only(between.output[0])
        is_one = found is not None and found.op_type == "Conv" and found.input[0] == between.output[0]
        return found if found is not None and is_one and is_plain(found, tensors) else None


def channel_values(
    model: onnx.ModelProto, names: Sequence[str], pictures: Pixels, reduce: Callable[..., Any]
) -> dict[str, Floats]:
    """(N, C) by name: a value of each channel's map for each picture, such as its mean."""
    opened = copy_of(model)
    known = {output.name for output in opened.graph.output}
    opened.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in names if name not in known)
    session = ImageSession(opened.SerializeToString())

    def values(picture: Pixels) -> list[Floats]:
        maps = session.run(picture, names)
        return [reduce(maps[name].astype(np.float64), axis=(1, 2)) for name in names]

    rows = list(map_in_threads(values, pictures)) if names else []
    return {name: np.stack(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}


def values_of(tensor: onnx.TensorProto) -> Floats:
    """A weight as numbers."""
    return np.asarray(numpy_helper.to_array(tensor), dtype=np.float64)


def put(tensor: onnx.TensorProto, values: Floats) -> None:
    """Other numbers for a weight."""
    tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(values, dtype=np.float32), tensor.name))
