"""The last nodes of a served graph: sets of classes, when not to answer, and how foreign a picture is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from models.artifacts.records import ModelCard
from models.judging.foreign import ForeignScale
from models.serving.embedding_spread import EmbeddingSpread, spread_of
from models.serving.model_file import bytes_of, metadata_of

_RULED, _FOREIGN = ("prediction_set", "abstained"), "ood_score"
_PREFIX, _THRESHOLDS, _RISK_LIMIT = "rule_", "rule_thresholds", "rule_risk_limit"
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
    model.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [_batch(model.graph)]) for name in (DISTANCE, ENERGY)
    )
    return bytes_of(model)


def with_answers(
    onnx_bytes: bytes,
    card: ModelCard,
    bank: Bank | None,
    scale: ForeignScale | None,
    spread: EmbeddingSpread | None = None,
) -> bytes:
    """ONNX bytes that give all answers that the rules of the card ask for.

    Outputs that are added: `prediction_set` (N, K) bool, where there are thresholds; `abstained` (N,) bool, where there
    is a limit; `ood_score` (N,) float32, above 1 where a picture is foreign, where there is a bank.

    Args:
        onnx_bytes: a model as `attach_head` gives it, or one in its place; answers that it has already are replaced.
        card: with the rules; replaces the one in the file.
        bank: of training pictures.
        scale: of distance and energy.
        spread: of the embeddings of training pictures, to which those of another site are brought.
    """
    model = onnx.load_from_string(onnx_bytes)
    _strip(model.graph, (*_RULED, _FOREIGN), (_PREFIX,))
    _append_rules(model.graph, card)
    if bank is not None and scale is not None:
        _append_foreign_parts(model.graph, bank)
        _append_foreign_score(model.graph, scale)
        _declare(model.graph, _FOREIGN, TensorProto.FLOAT, [_batch(model.graph)])
    return _finished(model, card, spread)


def with_rules(onnx_bytes: bytes, card: ModelCard) -> bytes:
    """The same model with the sets and the limit of risk of another card; what tells foreign pictures stays.

    Args:
        onnx_bytes: a model as `with_answers` gives it.
        card: replaces the one in the file.
    """
    model = onnx.load_from_string(onnx_bytes)
    spread = spread_of({prop.key: prop.value for prop in model.metadata_props})
    _strip(model.graph, _RULED, (_THRESHOLDS, _RISK_LIMIT))
    _append_rules(model.graph, card)
    return _finished(model, card, spread)


def _append_rules(graph: onnx.GraphProto, card: ModelCard) -> None:
    rules = card.answers
    if rules is not None and rules.thresholds:
        _put(graph, _THRESHOLDS, np.array([t.threshold for t in rules.thresholds], dtype=np.float32))
        graph.node.append(helper.make_node("GreaterOrEqual", ["probabilities", _THRESHOLDS], ["prediction_set"]))
        _declare(graph, "prediction_set", TensorProto.BOOL, [_batch(graph), len(card.classes)])
    if rules is not None and rules.max_abstention is not None:
        _put(graph, _RISK_LIMIT, np.array(rules.max_abstention + _ROUNDING, dtype=np.float32))
        graph.node.append(helper.make_node("Greater", ["abstention", _RISK_LIMIT], ["abstained"]))
        _declare(graph, "abstained", TensorProto.BOOL, [_batch(graph)])


def _finished(model: onnx.ModelProto, card: ModelCard, spread: EmbeddingSpread | None) -> bytes:
    del model.metadata_props[:]
    told = spread.as_metadata() if spread else {}
    helper.set_model_props(model, {**metadata_of(card, model.opset_import[0].version), **told})
    onnx.checker.check_model(model)
    return bytes_of(model)


def _batch(graph: onnx.GraphProto) -> str:
    """Name of the number of pictures of a call."""
    return str(graph.input[0].type.tensor_type.shape.dim[0].dim_param)


def _strip(graph: onnx.GraphProto, added: Sequence[str], prefixes: tuple[str, ...]) -> None:
    """Takes out outputs that were added here before, and what is named with one of the prefixes."""
    outputs = [output for output in graph.output if output.name not in added]
    nodes = [n for n in graph.node if n.output[0] not in added and not n.output[0].startswith(prefixes)]
    weights = [weight for weight in graph.initializer if not weight.name.startswith(prefixes)]
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
    graph.node.append(helper.make_node("Max", scaled, [_FOREIGN]))


def _put(graph: onnx.GraphProto, name: str, values: NDArray[np.generic]) -> None:
    graph.initializer.append(numpy_helper.from_array(np.asarray(values), name))


def _declare(graph: onnx.GraphProto, name: str, kind: int, shape: list[str | int]) -> None:
    graph.output.append(helper.make_tensor_value_info(name, kind, shape))
