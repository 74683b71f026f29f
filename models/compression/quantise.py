"""Static 8-bit integers by ONNX Runtime's quantizer: QDQ, per channel, calibrated on training pictures."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from models.compression.equalise import equalised, with_corrected_biases
from models.compression.graph import convolutions
from models.serving.model_file import bytes_of

# Convolutions and what stays in integers between them; pooling, the head and recurrence stay float, where they cost
# little and a range that several scales share would cost much.
_OPERATORS = ["Conv", "Relu", "Clip", "Add", "MaxPool"]
Pixels = NDArray[np.uint8]


class IntegerMaker:
    """Makes 8-bit versions of a model, with some of its first convolutions left float."""

    def __init__(self, prepared: onnx.ModelProto, calibration: Pixels) -> None:
        """Equalises channels once.

        Args:
            prepared: what `prepared` gives.
            calibration: (N, H, W, 3) training pictures.
        """
        self._calibration = calibration
        self._equalised = equalised(prepared, calibration)

    def make(self, float_convolutions: int) -> bytes:
        """ONNX bytes with all convolutions but the first few in integers."""
        kept = [node.name for node in convolutions(self._equalised.graph)[:float_convolutions]]
        corrected = with_corrected_biases(self._equalised, self._calibration, kept)
        with tempfile.TemporaryDirectory() as place, _quiet():
            target = Path(place) / "int8.onnx"
            quantize_static(
                corrected,
                target,
                PictureReader(self._calibration),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=_OPERATORS,
                per_channel=True,
                reduce_range=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                nodes_to_exclude=kept,
            )
            model = onnx.load(target)
        _clean(model, self._equalised)
        return bytes_of(model)


class PictureReader(CalibrationDataReader):  # type: ignore[misc]
    """Pictures one by one, as they are served."""

    def __init__(self, pixels: Pixels) -> None:
        self._pictures = iter(pixels)

    def get_next(self) -> dict[str, Pixels] | None:
        """The next picture; None behind the last."""
        picture = next(self._pictures, None)
        return None if picture is None else {"image": picture[np.newaxis]}


def prepared(onnx_bytes: bytes) -> onnx.ModelProto:
    """The graph with norms folded into weights, and with a name for every node."""
    with tempfile.TemporaryDirectory() as place, _quiet():
        source, target = Path(place) / "float.onnx", Path(place) / "prepared.onnx"
        source.write_bytes(onnx_bytes)
        # Symbolic shapes are not needed: only the number of pictures is open.
        quant_pre_process(source, target, skip_symbolic_shape=True)
        model = onnx.load(target)
    for position, node in enumerate(model.graph.node):
        node.name = node.name or f"node_{position}"
    _clean(model, onnx.load_from_string(onnx_bytes))
    return model


def _clean(model: onnx.ModelProto, source: onnx.ModelProto) -> None:
    """Takes back what ONNX Runtime names in every file that it writes, and leaves what the source says of itself."""
    used = {node.domain for node in model.graph.node}
    kept = [entry for entry in model.opset_import if entry.domain in used]
    del model.opset_import[:], model.metadata_props[:]
    model.opset_import.extend(kept)
    model.metadata_props.extend(source.metadata_props)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps what the quantizer thinks of each node from the user's terminal."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
