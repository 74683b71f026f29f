"""Why 8-bit integers are no faster on this machine: other ways to make them, and what bounds all of them.

Weights are those of an untrained network where no package brings any: speed does not depend on them. Answers are judged
in `benchmarks.compression`.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto, helper
from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

from benchmarks.result_file import write_result
from models.compression.quantise import PictureReader, prepared
from models.learning.frozen import frozen_trunk
from models.networks.registry import Build, find_network

Pixels = NDArray[np.uint8]
Feed = dict[str, NDArray[Any]]
# Sizes as in benchmarks.compression, and the share of pictures a second that is asked for.
NETWORKS = {"efficientnet_lite0": (224, 1.9), "torchvision/resnet18": (128, 2.5)}
_PER_CHANNEL: dict[str, Any] = {"per_channel": True, "reduce_range": True}
WAYS: dict[str, dict[str, Any]] = {
    "qdq": _PER_CHANNEL,
    "qdq_8_bit_weights": {"per_channel": True, "reduce_range": False},
    "qdq_per_tensor": {"per_channel": False, "reduce_range": True},
    "qdq_signed_activations": {**_PER_CHANNEL, "activation_type": QuantType.QInt8},
    "qdq_unsigned_weights": {**_PER_CHANNEL, "weight_type": QuantType.QUInt8},
    "qdq_convolutions_only": {**_PER_CHANNEL, "op_types_to_quantize": ["Conv"]},
    "qoperator": {**_PER_CHANNEL, "quant_format": QuantFormat.QOperator},
}
_CONVOLUTIONS = ("Conv", "FusedConv", "QLinearConv", "NhwcFusedConv")
ROUNDS, PICTURES, CALIBRATION_ROWS = 9, 12, 16
_SIDE = 512


def measure(name: str) -> dict[str, Any]:
    """One network: how many times as fast each way is, and how fast integers could be if all else were free."""
    size_px, target = NETWORKS[name]
    with tempfile.TemporaryDirectory() as folder:
        data = frozen_trunk(find_network(name), Build(0, size_px), Path(folder))
    pixels = np.random.default_rng(0).integers(0, 256, (CALIBRATION_ROWS, size_px, size_px, 3), dtype=np.uint8)
    ready = prepared(data).SerializeToString()
    sessions = {way: _session(_integers(ready, pixels, values)) for way, values in WAYS.items()}
    before, feed = _session(data), {"image": pixels[:1]}
    ratios = {way: _times_as_fast(before, session, feed) for way, session in sessions.items()}
    best = max(ratios, key=lambda way: ratios[way])
    spent = _seconds_by_operator(_integers(ready, pixels, WAYS[best]), feed)
    spent_before = _seconds_by_operator(data, feed)
    convolving = sum(spent[kind] for kind in _CONVOLUTIONS)
    return {
        "size_px": size_px,
        "target": target,
        "times_as_fast": ratios,
        "best": best,
        "convolutions_share": round(convolving / spent.total(), 3),
        "bound_if_all_but_convolutions_were_free": round(spent_before.total() / convolving, 2),
        "convolutions_times_as_fast": round(sum(spent_before[kind] for kind in _CONVOLUTIONS) / convolving, 2),
    }


def measure_products() -> float:
    """How many times as fast a product of 8-bit matrices is as one of float32, one thread."""
    rng = np.random.default_rng(0)
    floats = {k: rng.random((_SIDE, _SIDE), dtype=np.float32) for k in ("a", "b")}
    bytes_ = {"a": rng.integers(0, 256, (_SIDE, _SIDE), np.uint8), "b": rng.integers(-64, 64, (_SIDE, _SIDE), np.int8)}
    before = _session(_product("MatMul", TensorProto.FLOAT, TensorProto.FLOAT, TensorProto.FLOAT))
    after = _session(_product("MatMulInteger", TensorProto.UINT8, TensorProto.INT8, TensorProto.INT32))
    return _median_ratio(lambda: before.run(None, floats), lambda: after.run(None, bytes_))


def _product(kind: str, left: int, right: int, out: int) -> bytes:
    shape = [_SIDE, _SIDE]
    inputs = [helper.make_tensor_value_info("a", left, shape), helper.make_tensor_value_info("b", right, shape)]
    outputs = [helper.make_tensor_value_info("c", out, shape)]
    graph = helper.make_graph([helper.make_node(kind, ["a", "b"], ["c"])], "product", inputs, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return bytes(model.SerializeToString())


def _integers(ready: bytes, pixels: Pixels, values: dict[str, Any]) -> bytes:
    chosen = {"quant_format": QuantFormat.QDQ, "activation_type": QuantType.QUInt8, "weight_type": QuantType.QInt8}
    with tempfile.TemporaryDirectory() as place:
        target = Path(place) / "int8.onnx"
        # A model of its own each time: the quantizer takes the weights out of the one it gets.
        quantize_static(onnx.load_from_string(ready), target, PictureReader(pixels), **{**chosen, **values})
        return target.read_bytes()


def _session(data: bytes, profile: Path | None = None) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if profile is not None:
        options.enable_profiling, options.profile_file_prefix = True, str(profile)
    return ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def _times_as_fast(before: ort.InferenceSession, after: ort.InferenceSession, feed: Feed) -> float:
    return _median_ratio(lambda: before.run(None, feed), lambda: after.run(None, feed))


def _median_ratio(before: Callable[[], object], after: Callable[[], object]) -> float:
    """Time of the one over time of the other, as the median of rounds that take turns."""
    _seconds(before), _seconds(after)
    return round(statistics.median(_seconds(before) / _seconds(after) for _ in range(ROUNDS)), 2)


def _seconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    for _ in range(PICTURES):
        call()
    return time.perf_counter() - started


def _seconds_by_operator(data: bytes, feed: Feed) -> Counter[str]:
    """Where the time of some pictures goes, by kind of operator."""
    with tempfile.TemporaryDirectory() as place:
        session = _session(data, Path(place) / "profile")
        for _ in range(PICTURES * ROUNDS):
            session.run(None, feed)
        events = json.loads(Path(session.end_profiling()).read_text())
    spent: Counter[str] = Counter()
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            spent[event["args"]["op_name"]] += event["dur"]
    return spent


if __name__ == "__main__":
    figures: dict[str, Any] = {"products_times_as_fast": measure_products()}
    figures["networks"] = {name: measure(name) for name in NETWORKS}
    sys.stdout.write(f"{write_result('integer_limit', ROUNDS, figures)}\n")
