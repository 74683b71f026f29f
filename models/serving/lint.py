"""An ONNX file from elsewhere, judged before ONNX Runtime sees it: from one picture to numbers, and nothing else.

Only its text is judged; what it does as it runs (time, memory, answers) is for `model_probe`. Nothing here opens a
file: a tensor's numbers are read only after all of them were found to be inside the given bytes.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Callable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

from pydantic import Field

from models.errors import UnsafeModel
from models.serving.tensor_contents import tensor_finding
from models.serving.value_sizes import shown, value_findings
from models.settings import Settings

if TYPE_CHECKING:
    from onnx import (
        AttributeProto,
        GraphProto,
        ModelProto,
        NodeProto,
        OperatorSetIdProto,
        SparseTensorProto,
        TensorProto,
    )

_SHOWN_FINDINGS = 5
_UINT8 = 2  # TensorProto.UINT8
# The first where all shapes are inputs of their operators, so that `value_sizes` sees them.
_LEAST_OPSET = 13
_MOST_ATTRIBUTE_VALUES = 2**16


class LintLimits(Settings):
    """What a model file may hold; the defaults fit every network that Sortline exports."""

    max_bytes: int = Field(default=2**31 - 1, ge=1, description="Largest file, in bytes.", title="Largest file")
    max_elements: int = Field(
        default=2**28, ge=1, description="Most numbers in one tensor or value, at batch 1.", title="Largest value"
    )
    max_metadata_bytes: int = Field(
        default=2**24, ge=0, description="Most metadata in all, in bytes.", title="Most metadata"
    )
    max_parts: int = Field(default=250_000, ge=1, description="Most nodes, shapes and so on.", title="Most parts")
    needs_known_sizes: bool = Field(
        default=True, description="Refuse values whose size is not known beforehand.", title="Known sizes only"
    )
    domains: tuple[str, ...] = Field(default=("", "ai.onnx"), description="Operator sets.", title="Domains")
    refused_operators: tuple[str, ...] = Field(
        default=("If", "Loop", "Scan", "SequenceMap"),
        description="Operators that may run for ever or hide others.",
        title="Refused operators",
    )
    outputs: tuple[str, ...] = Field(
        default=("probabilities",), description="Outputs that have to be there.", title="Outputs"
    )


LINT_LIMITS = LintLimits()
_NO_MODEL = "is not an ONNX file: it is empty, cut off or of another format"


def lint_model(onnx_bytes: bytes, limits: LintLimits = LINT_LIMITS) -> None:
    """Refuses a model file that is not safe to hand to ONNX Runtime.

    A weight is any tensor with at least one axis, in an initialiser or an attribute, and has to be finite; a number
    without axes may be infinite, as masks have it. Sizes of values are judged in a file that is in order otherwise.

    Raises:
        UnsafeModel: with all findings, of which the first few are shown.
    """
    findings = list(_findings(onnx_bytes, limits))
    if findings:
        more = len(findings) - _SHOWN_FINDINGS
        raise UnsafeModel(
            f"model file has {len(findings)} finding(s): {'; '.join(findings[:_SHOWN_FINDINGS])}"
            + (f"; and {more} more" if more > 0 else ""),
            "one self-contained ONNX graph from a picture to numbers, of a size known beforehand",
            "Do not load it; export the model anew with sortline.",
        )


def read_metadata(onnx_bytes: bytes) -> dict[str, str]:
    """Texts in a model file, by name; the model is not loaded for it.

    Raises:
        UnsafeModel: it is no model file.
    """
    model = _parsed(onnx_bytes)
    if model is None:
        raise UnsafeModel(f"model file {_NO_MODEL}", "an ONNX file", "Export it anew with sortline.")
    return {entry.key: entry.value for entry in model.metadata_props}


def _findings(onnx_bytes: bytes, limits: LintLimits) -> Iterator[str]:
    if len(onnx_bytes) > limits.max_bytes:
        yield f"it has {len(onnx_bytes)} bytes, more than {limits.max_bytes}"
        return
    model = _parsed(onnx_bytes)
    if model is None:
        yield f"it {_NO_MODEL}"
        return
    parts = list(islice(_parts(model), limits.max_parts + 1))
    if len(parts) > limits.max_parts:
        yield f"it has more than {limits.max_parts} parts"
        return
    found = [*_model_findings(model, parts, limits), *_contract_findings(model.graph, limits)]
    for part in parts:
        judge = _JUDGES.get(type(part).__name__)
        found += judge(part, limits) if judge else ()
    yield from found or value_findings(model, limits.max_elements, limits.needs_known_sizes)


def _parsed(onnx_bytes: bytes) -> ModelProto | None:
    import onnx  # noqa: PLC0415 - takes time
    from google.protobuf.message import DecodeError  # noqa: PLC0415

    try:
        model = onnx.ModelProto.FromString(onnx_bytes)
    except DecodeError:
        return None
    return model if model.graph.node else None


def _parts(model: ModelProto) -> Iterator[Any]:
    """The model and every message inside it, at any depth and in any field."""
    waiting: deque[Any] = deque([model])
    while waiting:
        part = waiting.popleft()
        yield part
        for field, value in part.ListFields():
            if field.message_type is not None:
                waiting.extend([value] if hasattr(value, "ListFields") else value)


def _model_findings(model: ModelProto, parts: list[Any], limits: LintLimits) -> Iterator[str]:
    import onnx  # noqa: PLC0415 - takes time
    from google.protobuf.unknown_fields import UnknownFieldSet  # noqa: PLC0415

    # A newer reader than this one may make something of them.
    if any(len(UnknownFieldSet(part)) for part in parts):
        yield "it has fields that this version of onnx does not know"
    if not 1 <= model.ir_version <= onnx.IR_VERSION:
        yield f"IR version {model.ir_version} is not one of 1 to {onnx.IR_VERSION}"
    opsets = [opset.version for opset in model.opset_import if opset.domain in ("", "ai.onnx")]
    known = onnx.defs.onnx_opset_version()
    if len(opsets) != 1 or not _LEAST_OPSET <= opsets[0] <= known:
        yield f"opset {shown(str(opsets))} is not one of {_LEAST_OPSET} to {known}"
    if model.functions:
        yield f"function {shown(model.functions[0].name)} of its own"
    if model.training_info:
        yield "training_info, which no scoring needs"
    metadata = sum(part.ByteSize() for part in parts if type(part).__name__ == "StringStringEntryProto")
    if metadata > limits.max_metadata_bytes:
        yield f"metadata of {metadata} bytes is more than {limits.max_metadata_bytes}"


def _contract_findings(graph: GraphProto, limits: LintLimits) -> Iterator[str]:
    inputs = [value.name for value in graph.input]
    if inputs == ["image"]:
        kind = graph.input[0].type.tensor_type
        batch, *sides = [side.dim_value for side in kind.shape.dim] or [0]
        if kind.elem_type != _UINT8:
            yield f"input image has numbers of type {kind.elem_type}, not uint8"
        if batch not in (0, 1) or len(sides) != 3 or min(sides) < 1 or sides[2] != 3:
            yield f"input image has the shape {shown(str((batch, *sides)))}, not (batch, height, width, 3)"
    else:
        yield f"inputs are {shown(str(inputs))}, not image alone"
    missing = set(limits.outputs) - {value.name for value in graph.output}
    if missing:
        yield f"output {', '.join(sorted(missing))} is missing"
    values = [*inputs, *(tensor.name for tensor in graph.initializer), *(n for node in graph.node for n in node.output)]
    yield from (f"value {shown(name)} is given twice" for name, n in Counter(values).items() if n > 1 and name)


def _node_findings(node: NodeProto, limits: LintLimits) -> Iterator[str]:
    if node.domain not in limits.domains:
        yield f"operator {shown(node.op_type)} is of the foreign domain {shown(node.domain)}"
    if node.op_type in limits.refused_operators:
        yield f"operator {node.op_type} may run for ever or hide others"


def _attribute_findings(attribute: AttributeProto, _: LintLimits) -> Iterator[str]:
    name = f"attribute {shown(attribute.name)}"
    if attribute.HasField("g") or attribute.graphs:
        yield f"{name} holds a nested graph"
    if max(len(attribute.ints), len(attribute.floats), len(attribute.s)) > _MOST_ATTRIBUTE_VALUES:
        yield f"{name} holds more than {_MOST_ATTRIBUTE_VALUES} values"
    if not all(map(math.isfinite, attribute.floats)):
        yield f"{name} has weights that are NaN or infinite"


def _opset_findings(opset: OperatorSetIdProto, limits: LintLimits) -> Iterator[str]:
    if opset.domain not in limits.domains:
        yield f"operators of the foreign domain {shown(opset.domain)}"


def _tensor_findings(tensor: TensorProto, limits: LintLimits) -> Iterator[str]:
    found = tensor_finding(tensor, limits.max_elements)
    if found:
        yield found


def _sparse_findings(_: SparseTensorProto, __: LintLimits) -> Iterator[str]:
    yield "a sparse tensor"


# By name, so that onnx is not imported here.
_JUDGES: dict[str, Callable[[Any, LintLimits], Iterator[str]]] = {
    "AttributeProto": _attribute_findings,
    "NodeProto": _node_findings,
    "OperatorSetIdProto": _opset_findings,
    "SparseTensorProto": _sparse_findings,
    "TensorProto": _tensor_findings,
}
