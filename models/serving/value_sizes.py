"""How large the values inside a graph become, worked out node by node before anything runs.

Not `onnx.shape_inference.infer_shapes`: each Gather of a value by itself doubles its axes, so that 600 bytes make it
build shapes of 2**20 axes, and a few bytes more fill the machine. Here a shape is judged before another is built on it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto, TypeProto

_Numbers = NDArray[Any]

MOST_AXES = 32
# A shape is a vector of one number an axis, padding of two; longer constants decide no shape.
_MOST_NUMBERS = 2 * MOST_AXES
_SHOWN_LETTERS = 60
# They keep the numbers and only arrange them anew, as the inferred shape and type say.
_REARRANGING = ("Cast", "Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze")
# What exporters reckon shapes with; each takes its inputs' numbers and the node's attributes.
_RECKONING: dict[str, Callable[[list[_Numbers], dict[str, Any]], _Numbers]] = {
    "Add": lambda given, _: given[0] + given[1],
    "Concat": lambda given, attributes: np.concatenate(given, axis=attributes["axis"]),
    "Gather": lambda given, attributes: np.take(given[0], given[1], axis=attributes.get("axis", 0)),
    "Div": lambda given, _: _divided(*given),
    "Mul": lambda given, _: given[0] * given[1],
    "Slice": lambda given, _: _sliced(*given),
    "Sub": lambda given, _: given[0] - given[1],
}


def value_findings(model: ModelProto, max_elements: int, needs_known_sizes: bool) -> Iterator[str]:
    """What is wrong with the size of a value at batch 1, up to the first node where something is.

    What the file itself says about its values is no evidence and is not read. A size is unknown where it hangs on the
    picture, or on arithmetic beyond the simplest; none does in what PyTorch exports of networks for pictures.

    Args:
        model: a graph whose tensors hold their numbers themselves and are as large as they say.
        max_elements: most numbers that one value may hold.
        needs_known_sizes: whether an unknown size is a finding; else the known sides are judged.
    """
    values = _Values(model)
    for node in model.graph.node:
        try:
            inferred = values.infer(node)
        # onnx's exceptions share no base class below Exception, and hostile names bring those of its bindings.
        except Exception as error:
            yield f"operator {shown(node.op_type)} does not fit its inputs: {shown(str(error), 3 * _SHOWN_LETTERS)}"
            return
        found = [size_finding(f"value {shown(name)}", _sides(kind), max_elements) for name, kind in inferred.items()]
        if needs_known_sizes:
            unknown = [name for name in node.output if name and not (name in inferred and _is_static(inferred[name]))]
            found += [f"value {shown(name)} of {shown(node.op_type)} has an unknown size" for name in unknown]
        if any(found):
            yield from filter(None, found)
            return


def size_finding(what: str, sides: Sequence[int], max_elements: int) -> str:
    """The finding about a shape that is negative or too large; empty where it is neither."""
    if len(sides) > MOST_AXES:
        return f"{what} has {len(sides)} axes, more than {MOST_AXES}"
    if min(sides, default=0) < 0:
        return f"{what} has a negative side: {tuple(sides)}"
    if math.prod(sides) > max_elements:
        return f"{what} is oversized: {tuple(sides)} are more than {max_elements} numbers"
    return ""


def shown(name: str, letters: int = _SHOWN_LETTERS) -> str:
    """A text from a foreign file as it may stand in a message: short and in plain letters."""
    text = str(name)  # onnx gives what is not UTF-8 as bytes
    return (text if len(text) <= letters else f"{text[:letters]}...").encode("unicode_escape").decode("ascii")


class _Values:
    """What is known of the values so far: their types, and the numbers of those that may decide a shape."""

    def __init__(self, model: ModelProto) -> None:
        import onnx  # noqa: PLC0415 - takes time

        self._onnx = onnx
        self._ir_version = model.ir_version
        self._opset = max((opset.version for opset in model.opset_import if not _domain(opset.domain)), default=0)
        self._types: dict[str, TypeProto] = {}
        self._numbers: dict[str, _Numbers] = {}
        for tensor in model.graph.initializer:
            self._types[tensor.name] = onnx.helper.make_tensor_type_proto(tensor.data_type, tensor.dims)
            if math.prod(tensor.dims) <= _MOST_NUMBERS:
                self._numbers[tensor.name] = onnx.numpy_helper.to_array(tensor)
        image = model.graph.input[0]
        self._types[image.name] = onnx.TypeProto.FromString(image.type.SerializeToString())
        self._types[image.name].tensor_type.shape.dim[0].dim_value = 1

    def infer(self, node: NodeProto) -> dict[str, TypeProto]:
        """Types of what a node gives; none where too little is known of what it takes."""
        onnx = self._onnx
        given = [name for name in node.input if name]
        if _domain(node.domain) or not self._types.keys() >= set(given):
            return {}
        schema = onnx.defs.get_schema(node.op_type, self._opset, "")
        inferred: dict[str, TypeProto] = onnx.shape_inference.infer_node_outputs(
            schema,
            node,
            {name: self._types[name] for name in given},
            {name: onnx.numpy_helper.from_array(self._numbers[name]) for name in given if name in self._numbers},
            opset_imports=[onnx.helper.make_opsetid("", self._opset)],
            ir_version=self._ir_version,
        )
        if not schema.has_type_and_shape_inference_function and given:
            # Two normalisations, which give what they take.
            inferred = {node.output[0]: self._types[given[0]]}
        self._types |= inferred
        for name, kind in inferred.items():
            self._reckon(node, name, kind)
        return inferred

    def _reckon(self, node: NodeProto, name: str, kind: TypeProto) -> None:
        """Keeps the numbers of a small value that hangs on nothing but known numbers and shapes."""
        sides = tuple(_sides(kind))
        if not _is_static(kind) or math.prod(sides) > _MOST_NUMBERS:
            return
        with np.errstate(all="ignore"):
            try:
                numbers = self._reckoned(node, sides)
            # The node is one that ONNX Runtime refuses; what it would give stays unknown.
            except (ArithmeticError, LookupError, TypeError, ValueError):
                return
            if numbers is not None and numbers.shape == sides:
                dtype = self._onnx.helper.tensor_dtype_to_np_dtype(kind.tensor_type.elem_type)
                self._numbers[name] = numbers.astype(dtype)

    def _reckoned(self, node: NodeProto, sides: tuple[int, ...]) -> _Numbers | None:
        helper = self._onnx.helper
        attributes = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
        if node.op_type == "Constant":
            ((name, value),) = attributes.items()
            return self._onnx.numpy_helper.to_array(value) if name == "value" else np.asarray(value)
        if node.op_type == "Shape" and _is_static(self._types[node.input[0]]):
            return np.asarray(_sides(self._types[node.input[0]])[attributes.get("start") : attributes.get("end")])
        if not self._numbers.keys() >= set(node.input):
            return None
        given = [self._numbers[name] for name in node.input]
        if node.op_type in _REARRANGING:
            return given[0].reshape(sides)
        return _RECKONING[node.op_type](given, attributes)


def _divided(above: _Numbers, below: _Numbers) -> _Numbers:
    # Of other numbers, rounding and overflow are a matter of who divides.
    if above.dtype.kind != "i" or above.min() < 0 or below.min() < 1:
        raise ValueError("not the division of a size")
    return np.asarray(above // below)


def _sliced(vector: _Numbers, start: _Numbers, end: _Numbers, *axis_and_step: _Numbers) -> _Numbers:
    if vector.ndim != 1:
        raise ValueError("more than one axis")
    return vector[start.item() : end.item() : axis_and_step[1].item() if axis_and_step[1:] else None]


def _domain(domain: str) -> str:
    """The domain of operators; empty for the standard one, which has two names."""
    return "" if domain == "ai.onnx" else domain


def _sides(kind: TypeProto) -> list[int]:
    """A value's sides; those that are not known count as 1."""
    return [side.dim_value if side.HasField("dim_value") else 1 for side in kind.tensor_type.shape.dim]


def _is_static(kind: TypeProto) -> bool:
    shape = kind.tensor_type.shape
    return kind.tensor_type.HasField("shape") and all(side.HasField("dim_value") for side in shape.dim)
