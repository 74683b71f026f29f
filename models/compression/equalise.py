"""What makes a float graph ready for 8 bits: channels of like range, and biases that make up for rounded weights.

Both change weights only. Channels between two convolutions are scaled so that each fills the range that all share
(Nagel et al., arXiv 1906.04721, section 4.1, by measured ranges); behind it, what rounding the weights adds to the mean
of each channel is taken from its bias (section 4.2).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx

from models.compression.graph import (
    Floats,
    Pixels,
    Readers,
    channel_values,
    convolutions,
    copy_of,
    group_of,
    is_plain,
    put,
    tensors_of,
    values_of,
)

# 7 bits of weights: sums of two products of 8 by 8 bits overflow in 16 bits on machines without VNNI, and wrong
# answers there would be other answers than here.
WEIGHT_LEVELS = 64
# A channel is left room above what calibration saw of it.
_HEADROOM = 1.1
_LARGEST_SCALE = 50.0


def equalised(model: onnx.ModelProto, calibration: Pixels) -> onnx.ModelProto:
    """The same function, as far as calibration tells, with channels that fill the range they share."""
    changed = copy_of(model)
    tensors, readers = tensors_of(changed.graph), Readers(changed.graph)
    firsts = [node for node in convolutions(changed.graph) if is_plain(node, tensors)]
    found = [(first, readers.next_convolution(first, tensors)) for first in firsts]
    pairs = [(first, second) for first, second in found if second is not None]
    largest = channel_values(changed, [second.input[0] for _, second in pairs], calibration, np.max)
    for first, second in pairs:
        tops = largest[second.input[0]].max(0)
        if tops.max() <= 0:
            continue
        scale = np.clip(tops.max() / np.maximum(tops * _HEADROOM, 1e-12), 1.0, _LARGEST_SCALE)
        weight, bias, following = (tensors[name] for name in (*first.input[1:], second.input[1]))
        put(weight, values_of(weight) * scale.reshape(-1, 1, 1, 1))
        put(bias, values_of(bias) * scale)
        shape = (-1, 1, 1, 1) if group_of(second) > 1 else (1, -1, 1, 1)
        put(following, values_of(following) / scale.reshape(shape))
    return changed


def with_corrected_biases(model: onnx.ModelProto, calibration: Pixels, kept: Sequence[str]) -> onnx.ModelProto:
    """The graph with biases that make up for rounded weights, for every convolution but those that are `kept` float."""
    changed = copy_of(model)
    tensors = tensors_of(changed.graph)
    nodes = [node for node in convolutions(changed.graph) if node.name not in kept and is_plain(node, tensors)]
    means = channel_values(changed, sorted({node.input[0] for node in nodes}), calibration, np.mean)
    for node in nodes:
        weight, bias = (tensors[name] for name in node.input[1:])
        error, mean = _rounding_error(values_of(weight)).sum((2, 3)), means[node.input[0]].mean(0)
        put(bias, values_of(bias) + (error * (mean[:, None] if group_of(node) > 1 else mean[None])).sum(1))
    return changed


def _rounding_error(weight: Floats) -> Floats:
    """What is lost of a weight (out, in, h, w) in 7 bits a channel."""
    step = np.abs(weight).max((1, 2, 3), keepdims=True) / WEIGHT_LEVELS
    step[step == 0] = 1
    return np.asarray(weight - np.round(weight / step) * step)
