"""Training on a real GPU: the same weights twice, after an interruption too, and less memory than it wants."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import torch

from models.artifacts.workspace import Workspace
from models.data.resample import ResamplingSettings, plan_resampling
from models.errors import TrainingStopped
from models.learning.checkpoint import Checkpoint, encode_checkpoint, rebuild_trunk
from models.learning.export_checkpoint import export_checkpoint
from models.learning.fit import Places, Subject, fit_classifier
from models.learning.head import head_logits
from models.learning.lesson import prepare_lesson
from models.learning.progress import NOBODY, Hooks
from models.learning.training_settings import FitSettings, HeadSettings, Learner, TrainingSettings
from models.networks.registry import UprightTrunk
from models.serving.export import served_layers
from models.serving.picture_scorer import card_of
from tests.chain import FAST, split_of

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that torch can use"),
]
FINE_TUNED = TrainingSettings(
    learner="fine_tune",
    size_px=64,
    refit_on_tune=False,
    head=HeadSettings(members=1, steps=60, weight_decays=(0.1,)),
    fit=FitSettings(epochs=2, batch_rows=16, frozen_stages=2),
)
MIB = 2**20


def _settings(network: str, learner: Learner = "scratch", **fit: object) -> TrainingSettings:
    values = {**FAST.fit.model_dump(), "mixed_precision": "auto", "epochs": 3, **fit}
    return TrainingSettings.model_validate(
        {**FAST.model_dump(), "network": network, "size_px": 32, "learner": learner, "fit": values}
    )


def _fit(folder: Path, root: Path, settings: TrainingSettings, hooks: Hooks = NOBODY) -> Checkpoint:
    workspace, split = Workspace.open(root), split_of(folder)
    lesson = prepare_lesson(folder, split, plan_resampling(split, ResamplingSettings()), settings)
    places = Places(workspace.features_dir, workspace.states_dir)
    return fit_classifier(lesson, Subject("shapes", "0" * 64), places, hooks)


@pytest.mark.parametrize("network", ["convnet", "renet", "row_lstm", "torchvision/resnet18"])
def test_same_training_gives_the_same_model(labelled: Path, tmp_path: Path, network: str) -> None:
    first, second = (_fit(labelled, tmp_path / name, _settings(network)) for name in "ab")
    assert encode_checkpoint(first) == encode_checkpoint(second)
    assert [epoch.train_loss for epoch in first.card.epochs][-1] < first.card.epochs[0].train_loss


@pytest.mark.parametrize("stages", [0, 2])
def test_fine_tuned_network_says_the_same_in_onnx_on_the_cpu(labelled: Path, tmp_path: Path, stages: int) -> None:
    fit = FINE_TUNED.fit.model_copy(update={"frozen_stages": stages})
    checkpoint = _fit(labelled, tmp_path, FINE_TUNED.model_copy(update={"fit": fit}))
    data = export_checkpoint(encode_checkpoint(checkpoint), labelled, split_of(labelled), tmp_path / "features")
    pixels = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    with torch.inference_mode():
        embedding = UprightTrunk(rebuild_trunk(checkpoint)).eval()(torch.from_numpy(pixels)).numpy()
    logits = head_logits(embedding, tuple(served_layers(checkpoint.layers, card_of(data))))
    session = ort.InferenceSession(data, providers=["CPUExecutionProvider"])
    (probabilities,) = session.run(["probabilities"], {"image": pixels})
    assert np.abs(probabilities - torch.softmax(torch.from_numpy(logits), 1).numpy()).max() < 1e-4


def test_interrupted_training_ends_with_the_same_model(labelled: Path, tmp_path: Path) -> None:
    settings = _settings("convnet", checkpoint_seconds=0)
    whole = _fit(labelled, tmp_path / "whole", settings)
    done = [0]

    def stop_once(_done: int, _total: int) -> None:
        done[0] += 1
        if done[0] == 11:
            raise TrainingStopped("stopped by the test", "nothing", "Nothing.")

    with pytest.raises(TrainingStopped):
        _fit(labelled, tmp_path / "parts", settings, Hooks(on_progress=stop_once))
    assert list((tmp_path / "parts").glob("training/*"))
    assert encode_checkpoint(_fit(labelled, tmp_path / "parts", settings)) == encode_checkpoint(whole)


def test_less_memory_than_a_batch_needs_means_fewer_pictures_at_once(labelled: Path, tmp_path: Path) -> None:
    settings = _settings("torchvision/resnet18", batch_rows=64).model_copy(update={"size_px": 224})
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(700 * MIB / total)
    try:
        card = _fit(labelled, tmp_path, settings).card
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert any("memory ran out in epoch 0" in note for note in card.notes)
    assert len(card.epochs) == 3
