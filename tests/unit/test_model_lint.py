"""A model file from elsewhere is refused for what it holds, and for what it does in a process of its own."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from models.errors import ArtifactChanged, ArtifactError, MachineError, ShapeError, UnsafeModel
from models.serving.bundle import Bundle
from models.serving.lint import LINT_LIMITS, LintLimits, lint_model
from models.serving.model_probe import ProbeLimits, probe_model
from models.serving.session import ImageSession

PICTURES = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
WEIGHT = np.random.default_rng(1).normal(size=(3, 2)).astype(np.float32)


def _node(kind: str, takes: str, gives: str, **attributes: Any) -> NodeProto:
    """A node of named values; `-` is one that is left out."""
    return helper.make_node(kind, takes.replace("-", "").split(" ") if takes else [], gives.split(), **attributes)


def _tensor(name: str, values: object, dtype: type = np.int64) -> TensorProto:
    tensor: TensorProto = numpy_helper.from_array(np.asarray(values, dtype), name)
    return tensor


def _bytes(model: ModelProto) -> bytes:
    data: bytes = model.SerializeToString()
    return data


def _good() -> ModelProto:
    """Means of the channels, through one layer: as small as a classifier can be."""
    graph = helper.make_graph(
        [
            _node("Cast", "image", "pixels", to=TensorProto.FLOAT),
            _node("ReduceMean", "pixels axes", "means", keepdims=0),
            _node("Gemm", "means weight bias", "logits"),
            _node("Softmax", "logits", "probabilities", axis=-1),
        ],
        "classifier",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", 8, 8, 3])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", 2])],
        [_tensor("axes", [1, 2]), _tensor("weight", WEIGHT / 50, np.float32), _tensor("bias", [0, 0], np.float32)],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def _expected() -> NDArray[np.float32]:
    logits = PICTURES.astype(np.float32).mean((1, 2)) @ (WEIGHT / 50)
    exponentials = np.exp(logits - logits.max(1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(1, keepdims=True), np.float32)


def _weight(model: ModelProto) -> TensorProto:
    tensor: TensorProto = model.graph.initializer[1]
    return tensor


def _external(tensor: TensorProto, location: str) -> None:
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)


def _wrapped(kind: str, inner: TensorProto) -> NodeProto:
    """A Loop, Scan or If with a graph that gives a constant."""
    still = helper.make_tensor_value_info("still", TensorProto.BOOL, [])
    body = helper.make_graph([_node("Constant", "", "inner", value=inner)], "body", [], [still])
    if kind == "If":
        return _node("If", "condition", "wrapped", then_branch=body, else_branch=body)
    return _node(kind, "- condition", "wrapped", body=body)


def _spoil_traversal(model: ModelProto) -> None:
    _external(_weight(model), "../../../etc/passwd")


def _spoil_absolute(model: ModelProto) -> None:
    _external(_weight(model), "/dev/zero")


def _spoil_entries_alone(model: ModelProto) -> None:
    _weight(model).external_data.add(key="location", value="weights.bin")


def _spoil_nested(model: ModelProto) -> None:
    inner = _tensor("inner", [1, 2])
    _external(inner, "secret.bin")
    model.graph.node.append(_wrapped("If", inner))


def _spoil_sparse(model: ModelProto) -> None:
    values = _tensor("values", [1.0], np.float32)
    _external(values, "sparse.bin")
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, _tensor("indices", [0]), [4]))


def _spoil_function(model: ModelProto) -> None:
    inner = _tensor("inner", [1, 2])
    _external(inner, "function.bin")
    nodes = [_node("Constant", "", "y", value=inner)]
    model.functions.append(helper.make_function("own", "Own", [], ["y"], nodes, [helper.make_opsetid("", 20)]))


def _spoil_training(model: ModelProto) -> None:
    model.training_info.add().algorithm.initializer.append(_tensor("step", [1]))
    _external(model.training_info[0].algorithm.initializer[0], "training.bin")


def _spoil_domain(model: ModelProto) -> None:
    model.opset_import.append(helper.make_opsetid("com.evil", 1))
    model.graph.node[1].domain = "com.evil"


def _spoil_half_infinite(kind: int) -> Callable[[ModelProto], None]:
    def spoil(model: ModelProto) -> None:
        _weight(model).CopyFrom(helper.make_tensor("weight", kind, [3, 2], [1, 2, 3, 4, 5, np.inf]))

    return spoil


def _spoil_weight(value: float) -> Callable[[ModelProto], None]:
    def spoil(model: ModelProto) -> None:
        weight = WEIGHT.copy()
        weight[1, 1] = value
        _weight(model).CopyFrom(_tensor("weight", weight, np.float32))

    return spoil


def _spoil_dims(*dims: int) -> Callable[[ModelProto], None]:
    def spoil(model: ModelProto) -> None:
        del _weight(model).dims[:]
        _weight(model).dims.extend(dims)

    return spoil


def _spoil_input(name: str, kind: int, shape: list[int | str | None]) -> Callable[[ModelProto], None]:
    def spoil(model: ModelProto) -> None:
        model.graph.input[0].CopyFrom(helper.make_tensor_value_info(name, kind, shape))
        model.graph.node[0].input[0] = name

    return spoil


def _spoil_output(model: ModelProto) -> None:
    model.graph.output[0].name = model.graph.node[-1].output[0] = "scores"


def _spoil_metadata(model: ModelProto) -> None:
    model.graph.node[0].metadata_props.add(key="novel", value="x" * (2**24 + 1))


def _spoil_ir(model: ModelProto) -> None:
    model.ir_version = 99


def _spoil_opset(model: ModelProto) -> None:
    model.opset_import[0].version = 99


def _spoil_unknown_fields(model: ModelProto) -> None:
    model.graph.node[0].MergeFromString(b"\xf2\x3f\x04evil")


def _spoil_repeated_name(model: ModelProto) -> None:
    model.graph.node[1].output[0] = "pixels"


def _with(*parts: NodeProto | TensorProto | ValueInfoProto) -> Callable[[ModelProto], None]:
    """Adds nodes, tensors and inputs at the end of each list."""

    def spoil(model: ModelProto) -> None:
        graph = model.graph
        places = {NodeProto: graph.node, TensorProto: graph.initializer, ValueInfoProto: graph.input}
        for part in parts:
            places[type(part)].append(part)

    return spoil


def _gathers(count: int) -> list[NodeProto]:
    """Every one doubles the axes of the one before."""
    return [_node("Gather", f"g{k} g{k}", f"g{k + 1}") for k in range(count)]


HOLDS = {
    "traversal": (_spoil_traversal, "tensor weight has its numbers in external data"),
    "absolute": (_spoil_absolute, "external data"),
    "entries without a location flag": (_spoil_entries_alone, "external data"),
    "nested": (_spoil_nested, r"operator If may .* nested graph; .* tensor inner has its numbers in external data"),
    "sparse": (_spoil_sparse, "a sparse tensor; tensor values has its numbers in external data"),
    "function": (_spoil_function, "function Own of its own; .* external data"),
    "training": (_spoil_training, "training_info.* external data"),
    "loop": (_with(_wrapped("Loop", _tensor("inner", [1]))), "operator Loop may run for ever"),
    "if": (_with(_wrapped("If", _tensor("inner", [1]))), "operator If may"),
    "scan": (_with(_wrapped("Scan", _tensor("inner", [1]))), "operator Scan may"),
    "domain": (_spoil_domain, "foreign domain com.evil"),
    "unknown operator": (_with(_node("Summon", "image", "demon")), "operator Summon does not fit.*No schema"),
    "nan": (_spoil_weight(np.nan), "tensor weight has weights that are NaN or infinite"),
    "infinite": (_spoil_weight(-np.inf), "weights that are NaN or infinite"),
    "infinite halves": (_spoil_half_infinite(TensorProto.FLOAT16), "weights that are NaN or infinite"),
    "infinite bfloats": (_spoil_half_infinite(TensorProto.BFLOAT16), "weights that are NaN or infinite"),
    "nan constant": (
        _with(_node("Constant", "", "spare", value=_tensor("spare", [1, np.nan], np.float32))),
        "weights that are NaN or infinite",
    ),
    "infinite constant": (
        _with(_node("Constant", "", "spare", value_floats=[1.0, float("inf")])),
        "attribute value_floats has weights that are NaN or infinite",
    ),
    "oversized": (_spoil_dims(2**40, 2), "tensor weight is oversized"),
    "short": (_spoil_dims(2**10, 2), "not as many numbers as its shape"),
    "negative": (_spoil_dims(-3, -2), "tensor weight has a negative side"),
    "axes": (_spoil_dims(*[1] * 33), "tensor weight has 33 axes"),
    "text": (_with(numpy_helper.from_array(np.array(["word"], object), "words")), "tensor words is of type STRING"),
    "input name": (_spoil_input("picture", TensorProto.UINT8, ["batch", 8, 8, 3]), "not image alone"),
    "input type": (_spoil_input("image", TensorProto.FLOAT, ["batch", 8, 8, 3]), "input image .* not uint8"),
    "input rank": (_spoil_input("image", TensorProto.UINT8, ["batch", 8, 3]), "input image has the shape"),
    "input channels": (_spoil_input("image", TensorProto.UINT8, ["batch", 3, 8, 8]), "input image has the shape"),
    "input side": (_spoil_input("image", TensorProto.UINT8, ["batch", "high", 8, 3]), "input image has the shape"),
    "input batch": (_spoil_input("image", TensorProto.UINT8, [8, 8, 8, 3]), "input image has the shape"),
    "extra input": (
        _with(helper.make_tensor_value_info("more", TensorProto.FLOAT, [1])),
        r"inputs are .*more.*, not image alone",
    ),
    "output": (_spoil_output, "output probabilities is missing"),
    "metadata": (_spoil_metadata, "metadata of 16777"),
    "ir": (_spoil_ir, "IR version 99"),
    "opset": (_spoil_opset, r"opset \[99\]"),
    "unknown fields": (_spoil_unknown_fields, "fields that this version of onnx does not know"),
    "repeated name": (_spoil_repeated_name, "value pixels is given twice"),
    "long attribute": (
        _with(_node("Constant", "", "spare", value_ints=range(2**16 + 1))),
        "attribute value_ints holds more than 65536 values",
    ),
}
SIZES = {
    "ConstantOfShape of 34 GB": [_node("ConstantOfShape", "s", "y")],
    "Constant node": [_node("Constant", "", "c", value_ints=[2**33]), _node("ConstantOfShape", "c", "y")],
    "product": [_node("Mul", "half half", "p"), _node("ConstantOfShape", "p", "y")],
    "Expand of 6 TB": [_node("Expand", "pixels wide", "y")],
    "Tile": [_node("Tile", "image repeats", "y")],
    "Range": [_node("Range", "from to step", "y")],
    "Pad": [_node("Pad", "pixels pads", "y")],
    "Resize": [_node("Resize", "pixels - sizes", "y")],
    "random numbers": [_node("RandomUniform", "", "y", shape=[2**20, 2**20])],
    "OneHot": [_node("OneHot", "image to pair", "y")],
}
SIZE_TENSORS = [
    _tensor("s", [2**33]),
    _tensor("half", [2**20]),
    _tensor("wide", [2**33, 1, 1, 1]),
    _tensor("repeats", [1, 2**15, 2**15, 1]),
    _tensor("from", 0),
    _tensor("to", 2**40),
    _tensor("step", 1),
    _tensor("pads", [0, 2**40, 0, 0, 0, 0, 0, 0]),
    _tensor("sizes", [1, 1e6, 1e6, 1], np.float32),
    _tensor("pair", [0, 1], np.float32),
]


def _zip() -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("model.onnx", _bytes(_good()))
    return data.getvalue()


def test_small_model_passes() -> None:
    lint_model(_bytes(_good()))
    assert issubclass(UnsafeModel, ArtifactError)
    assert UnsafeModel.exit_code == ArtifactChanged.exit_code


def test_exported_model_passes_and_answers_as_it_did(champion: Bundle) -> None:
    lint_model(champion.onnx_bytes)
    side = champion.card.preprocess.height_px
    pictures = np.random.default_rng(0).integers(0, 256, (2, side, side, 3), dtype=np.uint8)
    session = ImageSession(champion.onnx_bytes)
    expected = np.stack([session.run(picture)["probabilities"] for picture in pictures])
    probe_model(champion.onnx_bytes, pictures, expected, lint=LINT_LIMITS)


@pytest.mark.parametrize("name", HOLDS)
def test_file_that_holds_what_it_should_not_is_refused(name: str) -> None:
    spoil, words = HOLDS[name]
    model = _good()
    spoil(model)
    with pytest.raises(UnsafeModel, match=words):
        lint_model(_bytes(model))


@pytest.mark.parametrize("name", SIZES)
def test_value_that_would_fill_the_machine_is_refused(name: str) -> None:
    model = _good()
    _with(*SIZES[name], *SIZE_TENSORS)(model)
    model.graph.value_info.append(helper.make_tensor_value_info("y", TensorProto.FLOAT, [1]))
    with pytest.raises(UnsafeModel, match=r"value (y|p|c) is oversized: .* are more than 268435456 numbers"):
        lint_model(_bytes(model))


def test_shapes_cannot_fill_the_machine_of_the_one_who_asks() -> None:
    model = _good()
    _with(*_gathers(40), _tensor("g0", [[0]]))(model)
    with pytest.raises(UnsafeModel, match="value g5 has 33 axes"):
        lint_model(_bytes(model))


def test_size_that_is_reckoned_as_exporters_do_is_known() -> None:
    """(1, 8, 8, 3) is taken apart to (8, 8 // 2, -1), and from there by (2, 1, 6 - 5)."""
    nodes = [
        _node("Shape", "image", "shape", start=1),
        _node("Gather", "shape first", "height"),
        _node("Slice", "shape one two", "width"),
        _node("Div", "width two", "half"),
        _node("Unsqueeze", "height none", "tall"),
        _node("Concat", "tall half rest", "sides", axis=0),
        _node("Reshape", "pixels sides", "y"),
        _node("Sub", "six five", "less"),
        _node("Concat", "two one less", "repeats", axis=0),
        _node("Tile", "y repeats", "tiled"),
        _node("GroupNormalization", "tiled scale scale", "normal", num_groups=2),
        _node("ConstantOfShape", "two", "z"),
    ]
    numbers = {"first": 0, "none": [0], "one": [1], "two": [2], "rest": [-1], "six": [6], "five": [5]}
    model = _good()
    model.opset_import[0].version = 21
    _with(*nodes, *(_tensor(*item) for item in numbers.items()), _tensor("scale", [1] * 4, np.float32))(model)
    lint_model(_bytes(model))
    with pytest.raises(UnsafeModel, match=r"value tiled is oversized: \(16, 4, 6\) are more than 383 numbers"):
        lint_model(_bytes(model), LintLimits(max_elements=383))


@pytest.mark.parametrize(
    "nodes",
    [
        [
            _node("Cast", "image", "whole", to=TensorProto.INT64),
            _node("Reshape", "whole all", "row"),
            _node("Slice", "row none two", "sides"),
        ],
        [_node("NonZero", "image", "places"), _node("Shape", "places", "sides")],
    ],
    ids=["pixels", "count of pixels"],
)
def test_size_that_the_picture_decides_is_refused_by_default(nodes: list[NodeProto]) -> None:
    model = _good()
    numbers = [_tensor("all", [-1]), _tensor("none", [0]), _tensor("two", [2])]
    _with(*nodes, _node("ConstantOfShape", "sides", "y"), *numbers)(model)
    with pytest.raises(UnsafeModel, match="has an unknown size"):
        lint_model(_bytes(model))
    lint_model(_bytes(model), LintLimits(needs_known_sizes=False))


@pytest.mark.parametrize(
    "data",
    [b"", b"\x00", pickle.dumps({"weights": [1.0]}), _bytes(_good())[:-40], _zip(), b"{}", b"GIF89a" * 9],
    ids=["empty", "zero", "pickle", "cut off", "zip", "json", "gif"],
)
def test_bytes_that_are_no_model_are_refused(data: bytes) -> None:
    with pytest.raises(UnsafeModel, match="it is not an ONNX file"):
        lint_model(data)


def test_file_and_its_parts_are_counted() -> None:
    data = _bytes(_good())
    with pytest.raises(UnsafeModel, match=f"it has {len(data)} bytes, more than 9"):
        lint_model(data, LintLimits(max_bytes=9))
    with pytest.raises(UnsafeModel, match="more than 9 parts"):
        lint_model(data, LintLimits(max_parts=9))


def test_all_findings_are_told_at_once_and_in_plain_letters() -> None:
    model = _good()
    for _ in range(9):
        model.graph.node.append(_node("Loop\n\x1b[31m" + "x" * 99, "image", "y", domain="evil"))
    _spoil_ir(model)
    with pytest.raises(UnsafeModel, match=r"has 11 finding\(s\): .*; and 6 more\. Expected") as caught:
        lint_model(_bytes(model))
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1000


def test_single_infinite_number_is_a_mask_and_no_weight() -> None:
    model = _good()
    _with(_node("Max", "logits least", "kept"), _tensor("least", -np.inf, np.float32))(model)
    lint_model(_bytes(model))


def test_numbers_that_are_not_raw_are_read_too() -> None:
    model = _good()
    _weight(model).CopyFrom(helper.make_tensor("weight", TensorProto.FLOAT, [3, 2], list(range(6))))
    lint_model(_bytes(model))
    _weight(model).float_data[3] = float("nan")
    with pytest.raises(UnsafeModel, match="NaN or infinite"):
        lint_model(_bytes(model))


def _endless() -> bytes:
    """The good model, whose scores go through a loop that never ends."""
    floats, flag, number = TensorProto.FLOAT, TensorProto.BOOL, TensorProto.INT64
    value = helper.make_tensor_value_info
    body = helper.make_graph(
        [_node("Identity", "on", "still"), _node("Identity", "carried", "kept")],
        "body",
        [value("n", number, []), value("on", flag, []), value("carried", floats, None)],
        [value("still", flag, []), value("kept", floats, None)],
    )
    return _through(_node("Loop", "- yes softmax", "probabilities", body=body), _tensor("yes", True, np.bool_))


def _through(*parts: NodeProto | TensorProto) -> bytes:
    """The good model with these parts from `softmax` to `probabilities`."""
    model = _good()
    model.graph.node[-1].output[0] = "softmax"
    _with(*parts)(model)
    return _bytes(model)


ENDS = (_tensor("none", [0]), _tensor("one", [1]))
FILL = (
    _tensor("big", [2**31]),
    _tensor("none", [0]),
    _node("ConstantOfShape", "big", "filled"),
    _node("ReduceMax", "filled none", "most"),
    _node("Add", "softmax most", "probabilities"),
)


def test_good_model_is_tried_and_passes() -> None:
    data = _bytes(_good())
    probe_model(data, PICTURES, _expected(), lint=LINT_LIMITS)
    probe_model(data, PICTURES[:1], None)


def test_endless_model_is_stopped() -> None:
    data = _endless()
    with pytest.raises(UnsafeModel, match="takes longer than 3 s"):
        probe_model(data, PICTURES, None, ProbeLimits(max_seconds=3))


def test_model_that_needs_too_much_memory_is_refused() -> None:
    with pytest.raises(UnsafeModel, match=r"does not run: .*alloc|ends its process with SIG"):
        probe_model(_through(*FILL), PICTURES, None)


def test_file_that_needs_too_much_memory_to_read_is_refused() -> None:
    empty_nodes = b"\x0a\x00" * 2_000_000
    data = b"\x3a" + _varint(len(empty_nodes)) + empty_nodes
    with pytest.raises(UnsafeModel, match=r"does not run: |ends its process with "):
        probe_model(data, PICTURES, None, ProbeLimits(max_memory_bytes=2**28), lint=LINT_LIMITS)


def _varint(number: int) -> bytes:
    low = bytes([number & 127 | (128 if number > 127 else 0)])
    return low + (_varint(number >> 7) if number > 127 else b"")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (_through(_node("Log", "softmax", "log"), _node("Sqrt", "log", "probabilities")), "an answer is NaN"),
        (_through(_node("Add", "softmax softmax", "probabilities")), "sum of 1 by 1"),
        (_through(_node("Neg", "softmax", "probabilities")), r"probabilities go from -\d"),
        (_through(_node("Slice", "softmax none one one", "probabilities"), *ENDS), r"\(2, 1\), not \(2, 2\)"),
        (_through(_node("Cast", "softmax", "probabilities", to=TensorProto.DOUBLE)), "does not run: .*"),
        (b"no model", "does not run: .*does not load"),
    ],
    ids=["nan", "sum", "negative", "classes", "type", "no model"],
)
def test_wrong_answers_are_refused(data: bytes, words: str) -> None:
    with pytest.raises(UnsafeModel, match=words):
        probe_model(data, PICTURES, _expected())


def test_answer_of_another_model_is_refused() -> None:
    expected = _expected()
    expected[1, 0] += np.float32(2e-4)
    with pytest.raises(UnsafeModel, match=r"answers differ by up to 0\.0002"):
        probe_model(_bytes(_good()), PICTURES, expected)


def test_labels_that_are_given_side_by_side_need_no_sum() -> None:
    model = _good()
    model.graph.node[-1].CopyFrom(_node("Sigmoid", "logits", "probabilities"))
    data = _bytes(model)
    probe_model(data, PICTURES, None, task="multi_label")
    with pytest.raises(UnsafeModel, match="sum of 1"):
        probe_model(data, PICTURES, None)


def test_lint_in_the_process_refuses_before_the_model_is_loaded() -> None:
    with pytest.raises(UnsafeModel, match="operator Loop may run for ever"):
        probe_model(_endless(), PICTURES, None, lint=LINT_LIMITS)


@pytest.mark.parametrize(
    "pixels", [PICTURES[:0], PICTURES[0], PICTURES.astype(np.float32)], ids=["none", "one", "type"]
)
def test_pictures_of_another_kind_are_the_callers_fault(pixels: NDArray[np.uint8]) -> None:
    with pytest.raises(ShapeError, match=r"pictures are"):
        probe_model(b"", pixels, None)


def test_process_that_cannot_start_is_the_machines_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sitecustomize.py").write_text("raise SystemExit('no licence for this machine')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(MachineError, match=r"does not start: .*no licence for this machine"):
        probe_model(_bytes(_good()), PICTURES, None)


def test_good_model_is_a_model_to_others_too() -> None:
    onnx.checker.check_model(_good(), full_check=True)
