"""What is wrong with one tensor of a model file: where its numbers are, how many they are, and which."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from models.serving.value_sizes import shown, size_finding

if TYPE_CHECKING:
    from onnx import TensorProto

# Numpy type and field of the numbers of each type of tensor; whatever a picture needs is among them.
_STORED = {
    "FLOAT": ("<f4", "float_data"),
    "DOUBLE": ("<f8", "double_data"),
    "FLOAT16": ("<u2", "int32_data"),
    "BFLOAT16": ("<u2", "int32_data"),
    "BOOL": ("?", "int32_data"),
    "INT8": ("<i1", "int32_data"),
    "INT16": ("<i2", "int32_data"),
    "INT32": ("<i4", "int32_data"),
    "INT64": ("<i8", "int64_data"),
    "UINT8": ("<u1", "int32_data"),
    "UINT16": ("<u2", "int32_data"),
    "UINT32": ("<u4", "uint64_data"),
    "UINT64": ("<u8", "uint64_data"),
}
# Bits of the exponent: all of them set is infinity or no number.
_EXPONENT = {"FLOAT16": 0x7C00, "BFLOAT16": 0x7F80}


def tensor_finding(tensor: TensorProto, max_elements: int) -> str:
    """The first finding about a tensor; empty where there is none.

    Its numbers are read only where they are inside the file, as many as its shape says and not too many. Those of a
    tensor with at least one axis have to be finite.
    """
    name = f"tensor {shown(tensor.name)}"
    kind = tensor.DataType.Name(tensor.data_type) if tensor.data_type in tensor.DataType.values() else "unknown"
    if tensor.external_data or tensor.data_location == tensor.EXTERNAL:
        return f"{name} has its numbers in external data"
    if kind not in _STORED:
        return f"{name} is of type {kind}"
    wrong_size = size_finding(name, tensor.dims, max_elements)
    if wrong_size:
        return wrong_size
    numbers = _numbers(tensor, kind)
    if numbers is None or len(numbers) != math.prod(tensor.dims):
        return f"{name} has not as many numbers as its shape {tuple(tensor.dims)} says"
    if tensor.dims and not _is_finite(numbers, kind):
        return f"{name} has weights that are NaN or infinite"
    return ""


def _numbers(tensor: TensorProto, kind: str) -> NDArray[Any] | None:
    """What a tensor holds, in one row and whatever its shape says; None for bytes that are no whole numbers."""
    dtype, field = _STORED[kind]
    if not tensor.HasField("raw_data"):
        return np.asarray(getattr(tensor, field)).astype(dtype)
    raw = tensor.raw_data
    return None if len(raw) % np.dtype(dtype).itemsize else np.frombuffer(raw, dtype)


def _is_finite(numbers: NDArray[Any], kind: str) -> bool:
    exponent = _EXPONENT.get(kind)
    return bool(np.isfinite(numbers).all() if exponent is None else (numbers & exponent != exponent).all())
