"""From a checkpoint to one ONNX file that carries its whole contract, checked against the network it came from."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Sequence

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from models.artifacts.records import ModelCard
from models.errors import ExportMismatch
from models.learning.head import Layer
from models.learning.multi_label_metrics import DECISION, given_labels
from models.networks.registry import UprightTrunk
from models.serving.picture_scorer import CARD_KEY
from models.serving.session import ImageSession

PARITY_TOLERANCE = 1e-4
PARITY_PICTURES = 64
DECISION_ROUNDING = 1e-5


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
    return _bytes_of(_without_source_paths(program.model_proto))


def attach_head(trunk: bytes, layers: Sequence[Layer], card: ModelCard) -> bytes:
    """ONNX bytes of the whole model: outputs `probabilities` (N, K) and `embedding` (N, D), and all metadata.

    Args:
        trunk: bytes of `trunk_onnx`.
        layers: (weight (out, in), bias (out,)) float32 with a ReLU between; the correction's offset is added to
            the last bias here, so it costs nothing to serve.
        card: classes, preprocessing and correction; written into the file.
    """
    model = onnx.load_from_string(trunk)
    graph = model.graph
    last = "embedding"
    for position, (weight, bias) in enumerate(served_layers(layers, card)):
        name = f"head_{position}"
        if position:
            graph.node.append(helper.make_node("Relu", [last], [f"{last}_relu"]))
            last = f"{last}_relu"
        graph.initializer.append(numpy_helper.from_array(weight, f"{name}_weight"))
        graph.initializer.append(numpy_helper.from_array(bias, f"{name}_bias"))
        graph.node.append(helper.make_node("Gemm", [last, f"{name}_weight", f"{name}_bias"], [name], transB=1))
        last = name
    if card.task == "multi_label":
        graph.node.append(helper.make_node("Sigmoid", [last], ["probabilities"]))
    else:
        graph.node.append(helper.make_node("Softmax", [last], ["probabilities"], axis=-1))
    batch = graph.input[0].type.tensor_type.shape.dim[0].dim_param
    probabilities = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [batch, len(card.classes)])
    graph.output.insert(0, probabilities)
    helper.set_model_props(
        model,
        {
            CARD_KEY: card.model_dump_json(),
            "sortline.classes": json.dumps(card.classes),
            "sortline.preprocess": card.preprocess.model_dump_json(),
            "sortline.preprocess_sha256": card.preprocess.digest,
        },
    )
    onnx.checker.check_model(model)
    return _bytes_of(model)


def served_layers(layers: Sequence[Layer], card: ModelCard) -> list[Layer]:
    """The head's layers with the correction's offset in the last bias."""
    *first, (weight, bias) = layers
    offset = np.asarray(card.correction.log_offset, dtype=np.float32)
    return [*first, (np.ascontiguousarray(weight), np.asarray(bias + offset, dtype=np.float32))]


def check_parity(
    onnx_bytes: bytes, trunk: torch.nn.Module, layers: Sequence[Layer], pictures: Sequence[NDArray[np.uint8]]
) -> float:
    """Largest difference of a probability between the ONNX file and the network in torch.

    Args:
        onnx_bytes: the exported model.
        trunk: the network that was trained.
        layers: `served_layers` of the same checkpoint.
        pictures: real pictures, (H, W, 3) uint8 each.

    Raises:
        ExportMismatch: a difference above 1e-4, or another top class or set of labels.
    """
    session = ImageSession(onnx_bytes)
    card = ModelCard.model_validate_json(session.metadata[CARD_KEY])
    with torch.inference_mode():
        hidden = UprightTrunk(trunk, card.channels).eval()(torch.from_numpy(np.stack(pictures)))
        for position, (weight, bias) in enumerate(layers):
            hidden = torch.relu(hidden) if position else hidden
            hidden = hidden @ torch.from_numpy(weight).T + torch.from_numpy(bias)
        is_multi = card.task == "multi_label"
        expected = (torch.sigmoid(hidden) if is_multi else torch.softmax(hidden, dim=1)).numpy()
    found = np.stack([session.run(picture)["probabilities"] for picture in pictures])
    largest = float(np.abs(found - expected).max())
    moved = int((_labels_moved(found, expected) if is_multi else found.argmax(1) != expected.argmax(1)).sum())
    what = "sets of labels" if is_multi else "top classes"
    if not largest <= PARITY_TOLERANCE or moved:  # so that NaN does not pass
        raise ExportMismatch(
            f"exported probabilities differ by up to {largest:.1e} and {moved} of {len(pictures)} {what} moved",
            f"at most {PARITY_TOLERANCE:.0e} and none",
            "Report the network's name and versions; the model was not kept.",
        )
    return largest


def _labels_moved(found: NDArray[np.float32], expected: NDArray[np.float32]) -> NDArray[np.bool_]:
    """(N,) whether a label of a picture is given by one and not by the other; on the edge itself rounding decides."""
    is_edge = np.abs(expected - DECISION) < DECISION_ROUNDING
    return np.asarray(((given_labels(found) != given_labels(expected)) & ~is_edge).any(1))


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


def _bytes_of(model: onnx.ModelProto) -> bytes:
    data: bytes = model.SerializeToString(deterministic=True)
    return data
