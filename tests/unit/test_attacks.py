"""Attacks stay within what they may change and lower accuracy; training against them resumes to the same weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from models.artifacts.workspace import Workspace
from models.data.decode import read_picture
from models.data.draws import DrawWeights
from models.data.limits import NO_LIMITS
from models.data.resample import ResamplingSettings, plan_resampling
from models.errors import SettingsError, TrainingStopped
from models.interruption import StopRequest
from models.judging.robustness import RobustnessSettings, examined_rows
from models.learning.attacks import fast_adversarial, fgsm, pgd, random_change
from models.learning.checkpoint import Checkpoint, decode_checkpoint, encode_checkpoint
from models.learning.classifier import Classifier, random_head
from models.learning.examine_attacks import Model, attack_scores, attackable, examine_with_attacks
from models.learning.export_checkpoint import export_checkpoint
from models.learning.fit import Places, Subject, fit_classifier
from models.learning.inputs import MapInputs, PixelInputs, Rows, TrainInputs
from models.learning.lesson import prepare_lesson
from models.learning.losses import LossSettings
from models.learning.progress import no_epochs
from models.learning.trainer import Goal, Runtime, Trainer
from models.learning.training_settings import AugmentSettings, FitSettings
from models.learning.training_state import FitPlan
from models.serving.picture_scorer import PictureScorer
from tests.chain import FAST, split_of

ROWS, SIDE = 96, 8
CPU = torch.device("cpu")
PLAN = FitPlan(epochs=3, batch_rows=16, learning_rate=0.02, precision="float32")


def _drawn(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _pictures(rows: int = ROWS) -> tuple[torch.Tensor, torch.Tensor]:
    """Noise with a lighter left or right half, and which."""
    random = _drawn()
    index = torch.arange(rows) % 2
    pixels = 128 + 40 * torch.randn(rows, SIDE, SIDE, 3, generator=random)
    pixels[index == 0, :, : SIDE // 2] += 14
    pixels[index == 1, :, SIDE // 2 :] += 14
    return pixels.clamp(0, 255).to(torch.uint8), index


class Tiny(nn.Module):
    """Two convolutions, from (N, H, W, 3) pixels in 0..255 to embeddings or logits."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.layers = nn.Sequential(
                nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8 * SIDE**2, 4)
            )

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.layers(pixels.float().permute(0, 3, 1, 2) / 255 - 0.5)
        return found


@pytest.fixture(scope="module")
def network() -> nn.Module:
    pixels, index = _pictures()
    model = Tiny()
    optimiser = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(40):
        optimiser.zero_grad()
        functional.cross_entropy(model(pixels), index).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return model.eval().requires_grad_(False)


Attack = Callable[[nn.Module, torch.Tensor, torch.Tensor, float], torch.Tensor]
ATTACKS: dict[str, Attack] = {
    "fgsm": fgsm,
    "pgd": lambda model, pixels, index, change: pgd(model, pixels, index, change, _drawn()),
    "fast": lambda model, pixels, index, change: fast_adversarial(
        lambda seen: functional.cross_entropy(model(seen), index),
        pixels,
        random_change(pixels, change, _drawn()),
        change,
    ),
}


@pytest.mark.parametrize("name", ATTACKS)
@pytest.mark.parametrize("change", [1.0, 8.0, 200.0])
def test_attacked_pictures_stay_within_what_is_allowed(network: nn.Module, name: str, change: float) -> None:
    pixels, index = _pictures()
    before = pixels.clone()
    attacked = ATTACKS[name](network, pixels, index, change)
    assert attacked.dtype == torch.float32
    assert not attacked.requires_grad
    assert float((attacked - pixels.float()).abs().max()) <= change + 1e-4
    assert 0 <= float(attacked.min()) <= float(attacked.max()) <= 255
    assert not torch.equal(attacked, pixels.float())
    assert torch.equal(pixels, before)
    assert torch.equal(attacked, ATTACKS[name](network, pixels, index, change))


def test_more_steps_lower_accuracy_at_least_as_far(network: nn.Module) -> None:
    pixels, index = _pictures()

    def accuracy(seen: torch.Tensor) -> float:
        return float((network(seen).argmax(1) == index).float().mean())

    changes = (1.0, 2.0, 4.0, 8.0)
    left = {
        name: [accuracy(ATTACKS[name](network, pixels, index, change)) for change in changes]
        for name in ("fgsm", "pgd")
    }
    assert accuracy(pixels) > 0.95
    assert np.mean(left["pgd"]) <= np.mean(left["fgsm"]) < accuracy(pixels) - 0.1
    loss = {
        name: float(functional.cross_entropy(network(ATTACKS[name](network, pixels, index, 4.0)), index))
        for name in left
    }
    assert loss["pgd"] >= loss["fgsm"]


def test_random_change_is_not_what_lowers_accuracy(network: nn.Module) -> None:
    pixels, index = _pictures()
    seen = pixels.float() + random_change(pixels, 4.0, _drawn())
    assert float((network(seen).argmax(1) == index).float().mean()) > 0.95


@pytest.fixture(scope="module")
def checkpoint(champion_checkpoint: bytes) -> Checkpoint:
    return decode_checkpoint(champion_checkpoint)


@pytest.fixture(scope="module")
def champion_checkpoint(labelled: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    workspace, split = Workspace.open(tmp_path_factory.mktemp("attacked")), split_of(labelled)
    settings = FAST.model_copy(update={"size_px": 32, "fit": FAST.fit.model_copy(update={"epochs": 3})})
    lesson = prepare_lesson(labelled, split, plan_resampling(split, ResamplingSettings()), settings)
    fitted = fit_classifier(lesson, Subject("m", "0" * 64), Places(workspace.features_dir, workspace.states_dir))
    return encode_checkpoint(fitted)


def test_attacked_network_is_the_one_that_is_served(
    labelled: Path, champion_checkpoint: bytes, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    split = split_of(labelled)
    onnx_bytes = export_checkpoint(champion_checkpoint, labelled, split, tmp_path)
    scorer, logits_of = PictureScorer(onnx_bytes, NO_LIMITS), attackable(checkpoint, CPU)
    settings = RobustnessSettings(pictures=9, attacks=(2.0, 16.0))
    for row in examined_rows(split, checkpoint.card, 3, np.random.default_rng(0)):
        pixels = checkpoint.card.preprocess.apply(read_picture(labelled / row["path"], NO_LIMITS).rgb)
        seen = torch.softmax(logits_of(torch.from_numpy(pixels.copy())[None]), 1)[0]
        assert seen.numpy() == pytest.approx(scorer.probabilities(pixels), abs=1e-5)
    report = examine_with_attacks(labelled, split, Model(onnx_bytes, champion_checkpoint), settings)
    assert report is not None
    found = {(score.name, score.severity): score for score in report.attacks}
    assert list(found) == [("fgsm", 2.0), ("pgd_10", 2.0), ("fgsm", 16.0), ("pgd_10", 16.0)]
    assert all(score.rows == 9 for score in report.attacks)
    assert found["pgd_10", 16.0].balanced_accuracy < report.clean_balanced_accuracy
    plain = examine_with_attacks(
        labelled, split, Model(onnx_bytes, b"not read"), settings.model_copy(update={"attacks": ()})
    )
    assert plain == report.model_copy(update={"attacks": ()})


def test_scores_of_attacks_are_the_same_each_time(checkpoint: Checkpoint) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (18, 32, 32, 3), dtype=np.uint8)
    index = np.arange(18) % 3
    first, again = (attack_scores(checkpoint, pixels, index, (4.0,), 0) for _ in range(2))
    assert first == again


def _train(inputs: TrainInputs, settings: FitSettings, path: Path | None = None, stop_after: int = 0) -> Classifier:
    stop, steps = StopRequest(), [0]

    def on_step(done: int, total: int) -> None:
        steps[0] += 1
        if steps[0] == stop_after:
            stop.make()

    model = Classifier(Tiny(), random_head(4, 2, 0.1, 0))
    runtime = Runtime(CPU, path, 1e9, stop, on_step, no_epochs)
    Trainer(model, inputs, _goal(), settings, 7, runtime).run(lambda: PLAN)
    return model


def _goal() -> Goal:
    loss = LossSettings(kind="cross_entropy", prior=np.array([0.5, 0.5]), counts=np.full(2, ROWS / 2))
    ones = np.ones(ROWS)
    return Goal(loss, 0.0, DrawWeights(ones, ones, ROWS), lambda logits: 0.5, lambda logits: 0.5, lambda logits: 0.0)


def _inputs() -> PixelInputs:
    pixels, index = _pictures()
    rows = Rows((pixels.numpy()[None],))
    return PixelInputs(rows, np.eye(2, dtype=np.float32)[index.numpy()], rows, AugmentSettings(policy="augmix"))


def _weights(model: nn.Module) -> list[torch.Tensor]:
    return [value.clone() for value in model.state_dict().values()]


def test_adversarial_training_resumes_to_the_same_weights(tmp_path: Path) -> None:
    settings = FitSettings(adversarial_eps=4, checkpoint_seconds=0)
    whole = _weights(_train(_inputs(), settings))
    for steps in (1, 3):
        with pytest.raises(TrainingStopped):
            _train(_inputs(), settings, tmp_path / "s.safetensors", steps)
    resumed = _weights(_train(_inputs(), settings, tmp_path / "s.safetensors"))
    assert all(torch.equal(one, other) for one, other in zip(whole, resumed, strict=True))
    plain = _weights(_train(_inputs(), settings.model_copy(update={"adversarial_eps": 0})))
    assert not all(torch.equal(one, other) for one, other in zip(whole, plain, strict=True))


def test_pictures_the_network_never_sees_cannot_be_changed() -> None:
    maps = Rows((np.zeros((1, ROWS, 4, 2, 2), dtype=np.float16),))
    inputs = MapInputs(maps, np.eye(2, dtype=np.float32)[np.arange(ROWS) % 2], maps)
    runtime = Runtime(CPU, None, 1e9, StopRequest(), lambda *_: None, no_epochs)
    model, goal = Classifier(Tiny(), random_head(4, 2, 0.1, 0)), _goal()
    Trainer(model, inputs, goal, FitSettings(), 0, runtime)
    with pytest.raises(SettingsError, match=r"frozen_stages=0, or training\.learner=scratch"):
        Trainer(model, inputs, goal, FitSettings(adversarial_eps=8), 0, runtime)
