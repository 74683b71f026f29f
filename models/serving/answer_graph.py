"""The last nodes of a served graph: sets of classes, when not to answer, and how foreign a picture is."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from models.artifacts.records import ModelCard
from models.judging.foreign import ForeignScale
from models.serving.export import bytes_of, metadata_of

_ADDED = ("prediction_set", "abstained", "ood_score")
_PREFIX = "rule_"
DISTANCE, ENERGY = "rule_distance", "rule_energy"
# Risk is compared as float32, in a graph of another machine.
_ROUNDING = 1e-6


class Bank(NamedTuple):
    """Training pictures to which a picture is compared.

    Attributes:
        embeddings: (M, D) float32, of length 1 each.
        neighbours: the distance that counts is that to so many-th nearest.
    """

    embeddings: NDArray[np.float32]
    neighbours: int


def with_foreign_parts(onnx_bytes: bytes, bank: Bank) -> bytes:
    """The model with two more outputs, (N,) float32 each: distance to the bank, and energy; to fit the scale by."""
    model = onnx.load_from_string(onnx_bytes)
    _append_foreign_parts(model.graph, bank)
    batch = model.graph.input[0].type.tensor_type.shape.dim[0].dim_param
    model.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch]) for name in (DISTANCE, ENERGY)
    )
    return bytes_of(model)


def with_answers(onnx_bytes: bytes, card: ModelCard, bank: Bank | None, scale: ForeignScale | None) -> bytes:
    """ONNX bytes that give all answers that the rules of the card ask for.

    Outputs that are added: `prediction_set` (N, K) bool, where there are thresholds; `abstained` (N,) bool, where there
    is a limit; `ood_score` (N,) float32, above 1 where a picture is foreign, where there is a bank.

    Args:
        onnx_bytes: a model as `attach_head` gives it, or one in its place; answers that it has already are replaced.
        card: with the rules; replaces the one in the file.
        bank: of training pictures.
        scale: of distance and energy.
    """
    model, rules = onnx.load_from_string(onnx_bytes), card.answers
    _strip(model.graph)
    graph, batch = model.graph, model.graph.input[0].type.tensor_type.shape.dim[0].dim_param
    if rules is not None and rules.thresholds:
        _put(graph, "rule_thresholds", np.array([t.threshold for t in rules.thresholds], dtype=np.float32))
        graph.node.append(helper.make_node("GreaterOrEqual", ["probabilities", "rule_thresholds"], ["prediction_set"]))
        _declare(graph, "prediction_set", TensorProto.BOOL, [batch, len(card.classes)])
    if rules is not None and rules.max_abstention is not None:
        _put(graph, "rule_risk_limit", np.array(rules.max_abstention + _ROUNDING, dtype=np.float32))
        graph.node.append(helper.make_node("Greater", ["abstention", "rule_risk_limit"], ["abstained"]))
        _declare(graph, "abstained", TensorProto.BOOL, [batch])
    if bank is not None and scale is not None:
        _append_foreign_parts(graph, bank)
        _append_foreign_score(graph, scale)
        _declare(graph, "ood_score", TensorProto.FLOAT, [batch])
    del model.metadata_props[:]
    helper.set_model_props(model, metadata_of(card, model.opset_import[0].version))
    onnx.checker.check_model(model)
    return bytes_of(model)


def _strip(graph: onnx.GraphProto) -> None:
    """Takes out what was added here before."""
    outputs = [output for output in graph.output if output.name not in _ADDED]
    nodes = [n for n in graph.node if n.output[0] not in _ADDED and not n.output[0].startswith(_PREFIX)]
    weights = [weight for weight in graph.initializer if not weight.name.startswith(_PREFIX)]
    for field, kept in ((graph.output, outputs), (graph.node, nodes), (graph.initializer, weights)):
        copies = [type(entry).FromString(entry.SerializeToString()) for entry in kept]
        del field[:]
        field.extend(copies)


def _append_foreign_parts(graph: onnx.GraphProto, bank: Bank) -> None:
    _put(graph, "rule_bank", np.ascontiguousarray(bank.embeddings.T, dtype=np.float32))
    _put(graph, "rule_axis", np.array([-1], dtype=np.int64))
    _put(graph, "rule_neighbours", np.array([bank.neighbours], dtype=np.int64))
    _put(graph, "rule_last", np.array(bank.neighbours - 1, dtype=np.int64))
    _put(graph, "rule_one", np.array(1, dtype=np.float32))
    _put(graph, "rule_least", np.array(1e-12, dtype=np.float32))
    graph.node.extend(
        [
            helper.make_node("ReduceL2", ["embedding", "rule_axis"], ["rule_length"], keepdims=1),
            helper.make_node("Max", ["rule_length", "rule_least"], ["rule_safe_length"]),
            helper.make_node("Div", ["embedding", "rule_safe_length"], ["rule_direction"]),
            helper.make_node("MatMul", ["rule_direction", "rule_bank"], ["rule_likeness"]),
            helper.make_node("TopK", ["rule_likeness", "rule_neighbours"], ["rule_nearest", "rule_places"]),
            helper.make_node("Gather", ["rule_nearest", "rule_last"], ["rule_nth"], axis=-1),
            helper.make_node("Sub", ["rule_one", "rule_nth"], [DISTANCE]),
            *_energy_nodes(graph),
        ]
    )


def _energy_nodes(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """Minus the log of the summed exponents of logits; for several labels, of each label against its absence."""
    last = next(node for node in graph.node if "probabilities" in node.output)
    if last.op_type == "Softmax":
        summed = [helper.make_node("ReduceLogSumExp", [last.input[0], "rule_axis"], ["rule_sum"], keepdims=0)]
    else:
        summed = [
            helper.make_node("Softplus", [last.input[0]], ["rule_labels"]),
            helper.make_node("ReduceSum", ["rule_labels", "rule_axis"], ["rule_sum"], keepdims=0),
        ]
    return [*summed, helper.make_node("Neg", ["rule_sum"], [ENERGY])]


def _append_foreign_score(graph: onnx.GraphProto, scale: ForeignScale) -> None:
    """The worse of distance and energy on their common scale."""
    scaled = []
    for name, centre, spread in zip((DISTANCE, ENERGY), scale.centre, scale.spread, strict=True):
        _put(graph, f"{name}_centre", np.array(centre, dtype=np.float32))
        _put(graph, f"{name}_spread", np.array(spread, dtype=np.float32))
        graph.node.append(helper.make_node("Sub", [name, f"{name}_centre"], [f"{name}_off"]))
        graph.node.append(helper.make_node("Div", [f"{name}_off", f"{name}_spread"], [f"{name}_scaled"]))
        scaled.append(f"{name}_scaled")
    graph.node.append(helper.make_node("Max", scaled, ["ood_score"]))


def _put(graph: onnx.GraphProto, name: str, values: NDArray[np.generic]) -> None:
    graph.initializer.append(numpy_helper.from_array(np.asarray(values), name))


def _declare(graph: onnx.GraphProto, name: str, kind: int, shape: list[str | int]) -> None:
    graph.output.append(helper.make_tensor_value_info(name, kind, shape))
