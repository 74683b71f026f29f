"""Structured pruning: whole channels between two convolutions go, where their variation reaches least behind them.

What a channel is on average stays, in the bias behind it; so only what it tells is lost (after Molchanov et al., arXiv
1611.06440, who rank by what is lost, and Luo et al., arXiv 1707.06342, who make up for it in the next layer).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import onnx

from models.compression.graph import (
    Floats,
    Pixels,
    Readers,
    Tensors,
    channel_values,
    convolutions,
    copy_of,
    group_of,
    is_plain,
    put,
    tensors_of,
    values_of,
)

# Below this many channels a layer has nothing to give.
_LEAST_CHANNELS = 8


class _Chain(NamedTuple):
    """A convolution whose channels only the last one mixes, and depthwise ones between them."""

    first: onnx.NodeProto
    between: tuple[onnx.NodeProto, ...]
    last: onnx.NodeProto


def pruned(model: onnx.ModelProto, calibration: Pixels, share: float) -> onnx.ModelProto:
    """The graph without that share of the channels inside each chain of convolutions.

    Args:
        model: with norms folded into weights.
        calibration: (N, H, W, 3) training pictures.
        share: of the channels of each chain, 0..1.
    """
    changed = copy_of(model)
    tensors = tensors_of(changed.graph)
    chains = _chains(changed.graph, tensors)
    names = [chain.last.input[0] for chain in chains]
    means, spreads = (channel_values(model, names, calibration, reduce) for reduce in (np.mean, np.std))
    for chain in chains:
        mean, spread = means[chain.last.input[0]], spreads[chain.last.input[0]]
        variation = (spread**2).mean(0) + mean.var(0)
        _cut(chain, tensors, mean.mean(0), variation, share)
    # Sizes that were known of values hold no more.
    del changed.graph.value_info[:]
    return changed


def _chains(graph: onnx.GraphProto, tensors: Tensors) -> list[_Chain]:
    readers, found = Readers(graph), []
    for first in convolutions(graph):
        if group_of(first) > 1 or not is_plain(first, tensors):
            continue
        between: list[onnx.NodeProto] = []
        following = readers.next_convolution(first, tensors)
        while following is not None and group_of(following) > 1:
            between.append(following)
            following = readers.next_convolution(following, tensors)
        if following is not None and tensors[first.input[1]].dims[0] >= _LEAST_CHANNELS:
            found.append(_Chain(first, tuple(between), following))
    return found


def _cut(chain: _Chain, tensors: Tensors, mean: Floats, variation: Floats, share: float) -> None:
    """Takes the channels that tell least out of a chain."""
    weight = values_of(tensors[chain.last.input[1]])
    reach = variation * (weight**2).sum((0, 2, 3))
    count = int(len(reach) * share)
    gone, kept = np.sort(np.argsort(reach, kind="stable")[:count]), np.sort(np.argsort(reach, kind="stable")[count:])
    bias = tensors[chain.last.input[2]]
    put(bias, values_of(bias) + weight[:, gone].sum((2, 3)) @ mean[gone])
    put(tensors[chain.last.input[1]], weight[:, kept])
    for node in (chain.first, *chain.between):
        for name in node.input[1:]:
            put(tensors[name], values_of(tensors[name])[kept])
    for node in chain.between:
        for entry in node.attribute:
            if entry.name == "group":
                entry.i = len(kept)
