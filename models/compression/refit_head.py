"""A head that makes up for what integers changed in the embeddings before it; it costs nothing to serve."""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray

from models.compression.graph import Floats, put, tensors_of, values_of
from models.serving.model_file import bytes_of

_WEIGHT, _BIAS = "head_0_weight", "head_0_bias"
# In units of the embeddings' variance: enough that a few hundred pictures do not overrule the head.
_RIDGE = 1.0


def refit_head(onnx_bytes: bytes, wanted: NDArray[np.float32], given: NDArray[np.float32]) -> bytes:
    """ONNX bytes whose first head layer gives, of the embeddings that it is given, what it gave of those it had.

    Each embedding is put back to its mean and gain, then ridge regression takes the rest.

    Args:
        onnx_bytes: the changed model.
        wanted: (N, D) embeddings of the exported model on training pictures.
        given: (N, D) embeddings of the changed model on the same pictures.
    """
    model = onnx.load_from_string(onnx_bytes)
    tensors = tensors_of(model.graph)
    weight, bias = (values_of(tensors[name]) for name in (_WEIGHT, _BIAS))
    for name, values in zip((_WEIGHT, _BIAS), _refitted(weight, bias, wanted, given), strict=True):
        put(tensors[name], values)
    return bytes_of(model)


def _refitted(
    weight: Floats, bias: Floats, wanted: NDArray[np.float32], given: NDArray[np.float32]
) -> tuple[Floats, Floats]:
    target, seen = wanted.astype(np.float64), given.astype(np.float64)
    mean, spread = seen.mean(0), seen.std(0) + 1e-6
    rows = (seen - mean) / spread
    gain = (rows * (target - target.mean(0))).mean(0)
    # The layer on standardised embeddings, by what is known of each embedding alone.
    own, own_bias = weight * gain, bias + weight @ target.mean(0)
    rest = target @ weight.T + bias - (rows @ own.T + own_bias)
    squares = rows.T @ rows / len(rows) + _RIDGE * np.eye(rows.shape[1])
    own = own + np.linalg.solve(squares, rows.T @ rest / len(rows)).T
    return own / spread, own_bias - (own / spread) @ mean
