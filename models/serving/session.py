"""An ONNX Runtime session as Sortline runs it: one thread a call, no spinning, one picture at a time.

Threads call one session side by side. One picture a call is as fast on a CPU as a block (benchmarks) and makes an
answer independent of its neighbours, bit for bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from pydantic import Field

from models.errors import ArtifactChanged, SettingsError
from models.settings import Settings

Provider = Literal["cpu", "cuda", "tensorrt", "openvino"]
GraphLevel = Literal["all", "extended", "basic"]
_PROVIDERS: dict[Provider, str] = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
}
_LEVELS = {
    "all": ort.GraphOptimizationLevel.ORT_ENABLE_ALL,
    "extended": ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    "basic": ort.GraphOptimizationLevel.ORT_ENABLE_BASIC,
}


class SessionSettings(Settings):
    """What runs a model."""

    provider: Provider = Field(
        default="cpu", title="Provider", description="What computes: cpu, or what this onnxruntime was built with."
    )
    allow_fallback: bool = Field(
        default=False, title="Allow fallback", description="Run on the CPU where the provider is absent, and say so."
    )
    intra_threads: int = Field(
        default=1,
        ge=1,
        le=256,
        title="Threads a picture",
        description="1 is best where many pictures run side by side.",
    )
    block_rows: int = Field(
        default=0,
        ge=0,
        le=1024,
        title="Pictures a call",
        description="Pictures that are computed together; 0: 32 where a GPU computes, one at a time on the CPU.",
    )
    graph_level: GraphLevel = Field(
        default="all", title="Graph optimisation", description="How far onnxruntime rewrites the graph."
    )


CPU = SessionSettings()
_GPU_BLOCK_ROWS = 32


def rows_a_call(settings: SessionSettings, provider: Provider) -> int:
    """Pictures that are computed together by what really runs."""
    return settings.block_rows or (1 if provider == "cpu" else _GPU_BLOCK_ROWS)


class ImageSession:
    """A graph from uint8 pictures to named arrays.

    Attributes:
        provider: what computes, which may be another than was asked for where that is allowed.
        outputs: names of what the graph gives.
        metadata: texts in the file, by name.
    """

    def __init__(self, onnx_bytes: bytes, settings: SessionSettings = CPU) -> None:
        asked = _available(settings)
        try:
            self._session = ort.InferenceSession(onnx_bytes, _options(settings), providers=[_PROVIDERS[asked]])
        # onnxruntime's exceptions share no base class below Exception.
        except Exception as error:
            raise ArtifactChanged(
                f"the model does not load: {error}", "an ONNX file this version runs", "Export it anew."
            ) from error
        # onnxruntime goes on without a provider whose libraries do not load.
        self.provider = asked if _PROVIDERS[asked] in self._session.get_providers() else "cpu"
        if self.provider != settings.provider and not settings.allow_fallback:
            raise _absent(settings.provider, "its libraries do not load")
        self.outputs: list[str] = [output.name for output in self._session.get_outputs()]
        self.metadata: dict[str, str] = dict(self._session.get_modelmeta().custom_metadata_map)

    def run(self, pixels: NDArray[np.uint8], outputs: Sequence[str] = ()) -> dict[str, NDArray[Any]]:
        """Outputs for one picture.

        Args:
            pixels: (H, W, 3) uint8, as `Preprocess.apply` gives them.
            outputs: names of those that are wanted; none: all.

        Returns:
            Arrays by output name, without the batch axis.
        """
        return {name: array[0] for name, array in self.run_block(pixels[np.newaxis], outputs).items()}

    def run_block(self, pixels: NDArray[np.uint8], outputs: Sequence[str] = ()) -> dict[str, NDArray[Any]]:
        """Outputs for several pictures, (N, H, W, 3) uint8: arrays by output name, N rows each."""
        names = list(outputs or self.outputs)
        run = self._session_run if self.provider == "cpu" else self.run_bound
        return dict(zip(names, run(pixels, names), strict=True))

    def run_bound(self, pixels: NDArray[np.uint8], names: Sequence[str]) -> list[NDArray[Any]]:
        """The named outputs, with input and outputs bound to places: one copy there and one back on a GPU."""
        binding = self._session.io_binding()
        binding.bind_cpu_input("image", np.ascontiguousarray(pixels))
        for name in names:
            binding.bind_output(name)
        self._session.run_with_iobinding(binding)
        found: list[NDArray[Any]] = binding.copy_outputs_to_cpu()
        return found

    def _session_run(self, pixels: NDArray[np.uint8], names: Sequence[str]) -> list[NDArray[Any]]:
        found: list[NDArray[Any]] = self._session.run(list(names), {"image": pixels})
        return found


def _options(settings: SessionSettings) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = settings.intra_threads
    options.inter_op_num_threads = 1
    options.graph_optimization_level = _LEVELS[settings.graph_level]
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return options


def _available(settings: SessionSettings) -> Provider:
    """The provider to run on.

    Raises:
        SettingsError: the one that is asked for is absent, and no other is allowed.
    """
    if _PROVIDERS[settings.provider] in ort.get_available_providers():
        return settings.provider
    if not settings.allow_fallback:
        raise _absent(settings.provider, f"it has {', '.join(ort.get_available_providers())}")
    return "cpu"


def _absent(provider: Provider, found: str) -> SettingsError:
    return SettingsError(
        f"provider {provider} is not in this onnxruntime ({found})",
        "a provider that it was built with",
        "Install the onnxruntime package for it, set provider=cpu, or set allow_fallback=true.",
    )
