"""A champion's graph with what one site changes: two vectors on the embeddings, and one small layer beside the logits.

embedding -> gain, shift -> all that the champion does with it -> its logits -> base_weight -+-> softmax
`-> weight, bias ---------------------------------------------------'
"""

from __future__ import annotations

from collections import deque

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from models.artifacts.records import Calibration, ModelCard
from models.errors import SettingsError
from models.serving.answer_graph import with_rules
from models.serving.model_file import TOP_CLASSES, bytes_of
from models.serving.site_file import SiteFile, SiteNumbers

_EMBEDDING, _MOVED, _LOGITS = "embedding", "site_embedding", "site_logits"
_PER_CLASS = ("probabilities", "top_scores", "top_classes")


def site_card(card: ModelCard, site: SiteFile) -> ModelCard:
    """The champion's card with the classes and rules of the site."""
    record = site.record
    # Both are folded into the site's numbers.
    correction = card.correction.model_copy(update={"log_offset": (0.0,) * len(record.classes), "strength": 0.0})
    return card.model_copy(
        update={
            "classes": record.classes,
            "answers": record.rules,
            "correction": correction,
            "calibration": Calibration(),
            "effective_prior": record.score_prior,
            "train_prior": record.score_prior,
        }
    )


def with_site(onnx_bytes: bytes, card: ModelCard, site: SiteFile) -> bytes:
    """ONNX bytes of the champion as it answers at a site.

    Args:
        onnx_bytes: the champion's.
        card: of the champion.
        site: made for this very champion.
    """
    model = onnx.load_from_string(onnx_bytes)
    graph = model.graph
    _move_embedding(graph, site.numbers)
    _add_layer(graph, site.numbers)
    _resize_outputs(graph, len(site.record.classes))
    return with_rules(bytes_of(model), site_card(card, site))


def tail_of(onnx_bytes: bytes) -> bytes:
    """ONNX bytes of what a model does with embeddings: `embedding` (N, D) to all of its other outputs and `logits`.

    The heavy part is left out, so that thousands of rows take milliseconds.
    """
    model = onnx.load_from_string(onnx_bytes)
    graph = model.graph
    logits = _softmax(graph).input[0]
    embedding = next(o for o in graph.output if o.name == _EMBEDDING)
    outputs = [onnx.ValueInfoProto.FromString(o.SerializeToString()) for o in graph.output if o.name != _EMBEDDING]
    batch = embedding.type.tensor_type.shape.dim[0].dim_param
    count = next(o for o in outputs if o.name == "probabilities").type.tensor_type.shape.dim[1].dim_value
    kept = _needed(graph, [o.name for o in outputs])
    graph.node.extend(kept_nodes := [onnx.NodeProto.FromString(n.SerializeToString()) for n in kept])
    del graph.node[: len(graph.node) - len(kept_nodes)]
    graph.node.append(helper.make_node("Identity", [logits], ["logits"]))
    source = onnx.ValueInfoProto.FromString(embedding.SerializeToString())
    del graph.input[:], graph.output[:], graph.value_info[:]
    graph.input.append(source)
    graph.output.extend([*outputs, helper.make_tensor_value_info("logits", TensorProto.FLOAT, [batch, count])])
    used = {name for node in graph.node for name in node.input}
    weights = [w for w in graph.initializer if w.name in used]
    copies = [onnx.TensorProto.FromString(w.SerializeToString()) for w in weights]
    del graph.initializer[:]
    graph.initializer.extend(copies)
    onnx.checker.check_model(model)
    return bytes_of(model)


def require_adaptable(card: ModelCard) -> None:
    """Refuses models of several labels a picture.

    Raises:
        SettingsError: saying so.
    """
    if card.task == "multi_label":
        raise SettingsError(
            f"model {card.name} gives several labels a picture",
            "one that gives a single label; only those are adapted to sites",
            "Train a model of its own for the site.",
        )


def _move_embedding(graph: onnx.GraphProto, numbers: SiteNumbers) -> None:
    """Everything that read the embedding reads the moved one; the output stays what the network gave."""
    for node in graph.node:
        for place, name in enumerate(node.input):
            if name == _EMBEDDING:
                node.input[place] = _MOVED
    _put(graph, "site_gain", numbers.gain)
    _put(graph, "site_shift", numbers.shift)
    made = [
        helper.make_node("Mul", [_EMBEDDING, "site_gain"], ["site_scaled"]),
        helper.make_node("Add", ["site_scaled", "site_shift"], [_MOVED]),
    ]
    _insert_behind(graph, _EMBEDDING, made)


def _add_layer(graph: onnx.GraphProto, numbers: SiteNumbers) -> None:
    softmax = _softmax(graph)
    base = softmax.input[0]
    _put(graph, "site_base_weight", numbers.base_weight)
    _put(graph, "site_weight", numbers.weight)
    _put(graph, "site_bias", numbers.bias)
    made = [
        helper.make_node("Gemm", [_MOVED, "site_weight", "site_bias"], ["site_own"], transB=1),
        helper.make_node("Gemm", [base, "site_base_weight", "site_own"], [_LOGITS]),
    ]
    _insert_behind(graph, base, made)
    # Energy goes on reading the champion's logits: its scale was fitted on them.
    softmax.input[0] = _LOGITS


def _resize_outputs(graph: onnx.GraphProto, classes: int) -> None:
    shown = min(TOP_CLASSES, classes)
    _put(graph, "answer_count", np.array([shown], dtype=np.int64))
    for output in graph.output:
        if output.name in _PER_CLASS:
            output.type.tensor_type.shape.dim[1].dim_value = classes if output.name == "probabilities" else shown
    del graph.value_info[:]


def _softmax(graph: onnx.GraphProto) -> onnx.NodeProto:
    found: onnx.NodeProto = next(node for node in graph.node if "probabilities" in node.output)
    return found


def _needed(graph: onnx.GraphProto, outputs: list[str]) -> list[onnx.NodeProto]:
    """Nodes between the embedding and the outputs, in the order of the graph."""
    maker = {name: k for k, node in enumerate(graph.node) for name in node.output}
    waiting, found = deque(outputs), set[int]()
    while waiting:
        name = waiting.popleft()
        place = maker.get(name)
        if name == _EMBEDDING or place is None or place in found:
            continue
        found.add(place)
        waiting.extend(graph.node[place].input)
    return [graph.node[k] for k in sorted(found)]


def _insert_behind(graph: onnx.GraphProto, value: str, made: list[onnx.NodeProto]) -> None:
    """Puts nodes behind the one that gives `value`; the format asks for that order."""
    place = next(k for k, node in enumerate(graph.node) if value in node.output)
    for node in reversed(made):
        graph.node.insert(place + 1, node)


def _put(graph: onnx.GraphProto, name: str, values: NDArray[np.generic]) -> None:
    """Adds a tensor, or puts it in the place of the one of that name."""
    tensor = numpy_helper.from_array(np.ascontiguousarray(values), name)
    for known in graph.initializer:
        if known.name == name:
            known.CopyFrom(tensor)
            return
    graph.initializer.append(tensor)
