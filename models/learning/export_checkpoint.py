"""From checkpoint bytes to the bytes of the ONNX file that is served, or a refusal."""

from __future__ import annotations

from itertools import cycle, islice
from pathlib import Path

import pyarrow as pa

from models.artifacts.records import ModelCard
from models.data.odd_pictures import odd_picture
from models.data.split import TRAIN, TUNE
from models.learning.checkpoint import build_of, decode_checkpoint, rebuild_trunk
from models.learning.embed import load_picture
from models.learning.frozen import frozen_trunk
from models.learning.lesson import sample_of
from models.networks.registry import find_network
from models.serving.export import attach_head, served_layers, trunk_onnx
from models.serving.golden import pixels_of
from models.serving.parity import PARITY_PICTURES, check_parity


def export_checkpoint(data: bytes, folder: Path, split: pa.Table, features_dir: Path) -> bytes:
    """ONNX bytes that answer as the checkpoint does, on 64 real pictures in odd sizes, modes and formats.

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
    pictures = pixels_of(odd_files(folder, split, card, PARITY_PICTURES), card.preprocess)
    check_parity(onnx_bytes, trunk, served_layers(checkpoint.layers, card), pictures)
    return onnx_bytes


def odd_files(folder: Path, split: pa.Table, card: ModelCard, count: int) -> list[bytes]:
    """Files made of real pictures, of tune first and of train where those are too few, each of another kind."""
    samples = [sample_of(folder, split, name, card.classes) for name in (TUNE, TRAIN)]
    known = [pair for sample in samples for pair in zip(sample.paths, sample.image_ids, strict=True)]
    chosen = islice(cycle(known[:count]), count)
    return [odd_picture(load_picture(path, image_id).rgb, k) for k, (path, image_id) in enumerate(chosen)]
