"""An ONNX Runtime session as Sortline runs it: one thread a call, no spinning, one picture at a time.

Threads call one session side by side. One picture a call is as fast on a CPU as a block (benchmarks) and makes an
answer independent of its neighbours, bit for bit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from models.errors import ArtifactChanged


class ImageSession:
    """A graph from one uint8 picture to named arrays."""

    def __init__(self, onnx_bytes: bytes) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        try:
            self._session = ort.InferenceSession(onnx_bytes, options, providers=["CPUExecutionProvider"])
        # onnxruntime's exceptions share no base class below Exception.
        except Exception as error:
            raise ArtifactChanged(
                f"the model does not load: {error}", "an ONNX file this version runs", "Export it anew."
            ) from error
        self.outputs: list[str] = [output.name for output in self._session.get_outputs()]
        self.metadata: dict[str, str] = dict(self._session.get_modelmeta().custom_metadata_map)

    def run(self, pixels: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
        """Every output for one picture.

        Args:
            pixels: (H, W, 3) uint8, as `Preprocess.apply` gives them.

        Returns:
            Arrays by output name, without the batch axis.
        """
        found = self._session.run(None, {"image": pixels[np.newaxis]})
        return {name: array[0] for name, array in zip(self.outputs, found, strict=True)}
