"""From a checkpoint to one ONNX file that carries its whole contract."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from models.artifacts.records import ModelCard
from models.errors import ExportMismatch
from models.learning.head import Layer
from models.networks.registry import UprightTrunk
from models.serving.model_file import TOP_CLASSES, bytes_of, metadata_of


def trunk_onnx(trunk: torch.nn.Module, size_px: int, channels: int = 3) -> bytes:
    """ONNX bytes of a trunk: `image` (N, size_px, size_px, 3) uint8 to `embedding` (N, D) float32."""
    example = torch.zeros((2, size_px, size_px, 3), dtype=torch.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own deprecations; ends when its releases are quiet
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        program = torch.onnx.export(
            UprightTrunk(trunk, channels).eval(),
            (example,),
            dynamo=True,
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            input_names=["image"],
            output_names=["embedding"],
            verbose=False,
        )
    if program is None:
        raise ExportMismatch("the exporter gave no program", "an ONNX graph", "Check the network's operations.")
    return bytes_of(_without_source_paths(program.model_proto))


def attach_head(trunk: bytes, layers: Sequence[Layer], card: ModelCard) -> bytes:
    """ONNX bytes of the whole model, with all that has to be known to use it in its metadata.

    Outputs: `probabilities` (N, K), `embedding` (N, D), `top_scores` and `top_classes` (N, k) of the best five, best
    first and ties to the earlier class, and `abstention` (N,), 0..1: the risk that the answer is wrong, by which to
    reject (Chow 1970, doi 10.1109/TIT.1970.1054406).

    Args:
        trunk: bytes of `trunk_onnx`.
        layers: (weight (out, in), bias (out,)) float32 with a ReLU between; the correction's offset and the
            calibration's temperature go into the last one here, so they cost nothing to serve.
        card: classes, preprocessing, correction and calibration; written into the file.
    """
    model = onnx.load_from_string(trunk)
    logits = _append_layers(model.graph, served_layers(layers, card))
    _append_answers(model.graph, logits, card)
    _declare_outputs(model.graph, len(card.classes))
    helper.set_model_props(model, metadata_of(card, model.opset_import[0].version))
    onnx.checker.check_model(model)
    return bytes_of(model)


def served_layers(layers: Sequence[Layer], card: ModelCard) -> list[Layer]:
    """The head's layers with the correction's offset and the calibration's temperature in the last one."""
    *first, (weight, bias) = layers
    if card.calibration.class_scale:
        scale = np.array(card.calibration.class_scale)
        weight, bias = weight * scale[:, np.newaxis], bias * scale + np.array(card.calibration.class_bias)
    temperature, offset = card.calibration.temperature, np.asarray(card.correction.log_offset)
    served = weight / temperature, (bias + offset) / temperature
    return [*first, (np.ascontiguousarray(served[0], dtype=np.float32), np.asarray(served[1], dtype=np.float32))]


def _append_layers(graph: onnx.GraphProto, layers: Sequence[Layer]) -> str:
    """Name of the logits, behind layers with a ReLU between them."""
    last = "embedding"
    for position, (weight, bias) in enumerate(layers):
        name = f"head_{position}"
        if position:
            graph.node.append(helper.make_node("Relu", [last], [f"{last}_relu"]))
            last = f"{last}_relu"
        graph.initializer.append(numpy_helper.from_array(weight, f"{name}_weight"))
        graph.initializer.append(numpy_helper.from_array(bias, f"{name}_bias"))
        graph.node.append(helper.make_node("Gemm", [last, f"{name}_weight", f"{name}_bias"], [name], transB=1))
        last = name
    return last


def _append_answers(graph: onnx.GraphProto, logits: str, card: ModelCard) -> None:
    """Probabilities, the best classes, and the risk that the answer is wrong."""
    constants = {
        "answer_count": np.array([min(TOP_CLASSES, len(card.classes))], dtype=np.int64),
        "answer_axis": np.array([-1], dtype=np.int64),
        "answer_one": np.array(1, dtype=np.float32),
    }
    graph.initializer.extend(numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items())
    nodes = [
        helper.make_node("Softmax", [logits], ["probabilities"], axis=-1),
        helper.make_node("ReduceMax", ["probabilities", "answer_axis"], ["answer_trust"], keepdims=0),
    ]
    if card.task == "multi_label":
        nodes = [
            helper.make_node("Sigmoid", [logits], ["probabilities"]),
            helper.make_node("Sub", ["answer_one", "probabilities"], ["answer_absent"]),
            helper.make_node("Max", ["probabilities", "answer_absent"], ["answer_label_trust"]),
            helper.make_node("ReduceMin", ["answer_label_trust", "answer_axis"], ["answer_trust"], keepdims=0),
        ]
    best = helper.make_node("TopK", ["probabilities", "answer_count"], ["top_scores", "top_classes"], axis=-1)
    graph.node.extend([*nodes, helper.make_node("Sub", ["answer_one", "answer_trust"], ["abstention"]), best])


def _declare_outputs(graph: onnx.GraphProto, class_count: int) -> None:
    batch, embedding = graph.input[0].type.tensor_type.shape.dim[0].dim_param, graph.output[0]
    shown = [batch, min(TOP_CLASSES, class_count)]
    outputs = [
        helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [batch, class_count]),
        onnx.ValueInfoProto.FromString(embedding.SerializeToString()),
        helper.make_tensor_value_info("top_scores", TensorProto.FLOAT, shown),
        helper.make_tensor_value_info("top_classes", TensorProto.INT64, shown),
        helper.make_tensor_value_info("abstention", TensorProto.FLOAT, [batch]),
    ]
    del graph.output[:]
    graph.output.extend(outputs)


def _without_source_paths(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same graph without the exporter's notes, which name folders of the machine it ran on."""
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output, *model.graph.initializer):
        del value.metadata_props[:]
    del model.graph.metadata_props[:]
    del model.metadata_props[:]
    return model
