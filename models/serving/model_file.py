"""What every model file has: its bytes, and what a reader in any language finds in its metadata."""

from __future__ import annotations

import json

import onnx

from models.artifacts.records import ModelCard
from models.serving.picture_scorer import CARD_KEY

# Classes that a graph gives by name of their place, best first.
TOP_CLASSES = 5


def metadata_of(card: ModelCard, opset: int) -> dict[str, str]:
    """What a reader in any language finds in the file: docs/bundle.md explains each entry."""
    return {
        CARD_KEY: card.model_dump_json(),
        "sortline.schema_version": str(card.schema_version),
        "sortline.task": card.task,
        "sortline.classes": json.dumps(card.classes),
        "sortline.preprocess": card.preprocess.model_dump_json(),
        "sortline.preprocess_sha256": card.preprocess.digest,
        "sortline.data_sha256": card.data_sha256,
        "sortline.training_sha256": card.training_sha256,
        "sortline.weights_licence": card.weights_licence,
        "sortline.opset": str(opset),
    }


def bytes_of(model: onnx.ModelProto) -> bytes:
    """The file of a model; equal models, equal bytes."""
    data: bytes = model.SerializeToString(deterministic=True)
    return data
