"""Bundles for tests of the registry: the shared champion, told apart by its numbers alone."""

from __future__ import annotations

from models.artifacts.workspace import Workspace
from models.serving.bundle import Bundle, BundleParts, read_bundle, write_bundle
from models.serving.history import Deed
from models.serving.registry import Registry
from tests.conftest import MODEL, NOW

DEED = Deed(NOW, "made for tests", "mara")


def bundle_named(champion: Bundle, workspace: Workspace, split: str) -> Bundle:
    """A bundle of the model in `workspace` that no other name gives."""
    numbers = champion.scorecard.model_copy(update={"split": split})
    model = champion.onnx_bytes
    parts = BundleParts(model, model, champion.card, numbers, champion.baseline, champion.golden)
    folder, _ = write_bundle(Registry(workspace).bundles_dir(MODEL), parts, "# Shapes\n")
    return read_bundle(folder)
