"""From checkpoint bytes to the bytes of the ONNX file that is served, or a refusal."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from models.data.split import TUNE
from models.learning.checkpoint import build_of, decode_checkpoint, rebuild_trunk
from models.learning.embed import load_pixels
from models.learning.frozen import frozen_trunk
from models.learning.lesson import sample_of
from models.networks.registry import find_network
from models.serving.export import PARITY_PICTURES, attach_head, check_parity, served_layers, trunk_onnx


def export_checkpoint(data: bytes, folder: Path, split: pa.Table, features_dir: Path) -> bytes:
    """ONNX bytes that answer as the checkpoint does, on up to 64 pictures of the tune split.

    Raises:
        ExportMismatch: they do not.
    """
    checkpoint = decode_checkpoint(data)
    card, trunk, build = checkpoint.card, rebuild_trunk(checkpoint), build_of(checkpoint.card)
    if checkpoint.trunk:
        trunk_bytes = trunk_onnx(trunk, build.size_px, build.channels)
    else:
        trunk_bytes = frozen_trunk(find_network(card.network), build, features_dir)
    onnx_bytes = attach_head(trunk_bytes, checkpoint.layers, card)
    sample = sample_of(folder, split, TUNE, card.classes)
    first = sample._replace(paths=sample.paths[:PARITY_PICTURES], image_ids=sample.image_ids[:PARITY_PICTURES])
    pictures = [
        load_pixels(path, image_id, card.preprocess)
        for path, image_id in zip(first.paths, first.image_ids, strict=True)
    ]
    check_parity(onnx_bytes, trunk, served_layers(checkpoint.layers, card), pictures)
    return onnx_bytes
