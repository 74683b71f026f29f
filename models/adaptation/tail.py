"""What a model makes of embeddings that are known: all of its answers in milliseconds for thousands of pictures."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from models.serving.site_graph import tail_of


class Tail:
    """The part of a model behind its embedding."""

    def __init__(self, onnx_bytes: bytes) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        self._session = ort.InferenceSession(tail_of(onnx_bytes), options, providers=["CPUExecutionProvider"])
        self._outputs = [output.name for output in self._session.get_outputs()]

    def run(self, embeddings: NDArray[np.floating], output: str) -> NDArray[np.float32]:
        """One output, such as probabilities or logits, for (N, D) embeddings: N rows."""
        (found,) = self._session.run([output], {"embedding": np.ascontiguousarray(embeddings, dtype=np.float32)})
        return np.asarray(found)

    def run_all(self, embeddings: NDArray[np.floating]) -> dict[str, NDArray[np.generic]]:
        """All outputs by name."""
        found = self._session.run(None, {"embedding": np.ascontiguousarray(embeddings, dtype=np.float32)})
        return dict(zip(self._outputs, map(np.asarray, found), strict=True))
