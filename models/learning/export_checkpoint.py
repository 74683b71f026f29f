"""From checkpoint bytes to the bytes of the ONNX file that is served, or a refusal."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from models.data.split import TUNE
from models.learning.checkpoint import decode_checkpoint, rebuild_trunk
from models.learning.fit import frozen_trunk, load_sample, sample_of
from models.networks.registry import find_network
from models.serving.export import PARITY_PICTURES, attach_head, check_parity, served_layers, trunk_onnx


def export_checkpoint(data: bytes, folder: Path, split: pa.Table, features_dir: Path) -> bytes:
    """ONNX bytes that answer as the checkpoint does, on up to 64 pictures of the tune split.

    Raises:
        ExportMismatch: they do not.
    """
    checkpoint = decode_checkpoint(data)
    card, trunk = checkpoint.card, rebuild_trunk(checkpoint)
    network = find_network(card.network)
    frozen = network.learner == "frozen"
    trunk_bytes = frozen_trunk(network, features_dir) if frozen else trunk_onnx(trunk, network.size_px)
    onnx_bytes = attach_head(trunk_bytes, checkpoint.layers, card)
    sample = sample_of(folder, split, TUNE, card.classes)
    first = sample._replace(paths=sample.paths[:PARITY_PICTURES], image_ids=sample.image_ids[:PARITY_PICTURES])
    check_parity(onnx_bytes, trunk, served_layers(checkpoint.layers, card), list(load_sample(first, card.preprocess)))
    return onnx_bytes
