"""Half precision, for machines with a GPU."""

from __future__ import annotations

import onnx
from onnxruntime.transformers.float16 import convert_float_to_float16
from onnxruntime.transformers.onnx_model import OnnxModel

from models.serving.model_file import bytes_of


def half_precision(onnx_bytes: bytes) -> bytes:
    """ONNX bytes that compute in half precision and answer in single precision."""
    converted = OnnxModel(convert_float_to_float16(onnx.load_from_string(onnx_bytes), keep_io_types=True))
    # The converter puts what it adds behind its readers.
    converted.topological_sort()
    return bytes_of(converted.model)
