"""Weights from pictures without labels: what they are for, that a stopped run goes on, and that collapse is seen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from models.artifacts.workspace import Workspace
from models.data.scan import ScanSettings
from models.errors import DataError, TrainingStopped
from models.interruption import StopRequest
from models.learning.training_settings import AugmentSettings
from models.networks.registry import Build, find_network
from models.pretraining.losses import simclr_loss, vicreg_loss
from models.pretraining.pretrain_folder import PretrainJob, pretrain_folder
from models.pretraining.scores import LabelledRows, feature_scores, knn_classes
from models.pretraining.settings import PretrainSettings
from models.pretraining.twin_views import Loop, learn_from_views
from tests.pictures import write_labelled

SMALL = PretrainSettings(
    size_px=32,
    epochs=3,
    batch_rows=32,
    projector_width=32,
    judge_every=1,
    augment=AugmentSettings(symmetries="none", policy="light"),
)


def _no_sink(stage: str, done: int, total: int) -> None:
    """Nobody looks."""


def test_simclr_is_what_the_paper_writes() -> None:
    """Equation 1 of arXiv 2002.05709, pair by pair."""
    rows = torch.nn.functional.normalize(torch.randn(8, 5, generator=torch.Generator().manual_seed(0)), dim=1)
    likeness, losses = (rows @ rows.T / 0.5).exp(), []
    for k in range(8):
        twin = (k + 4) % 8
        losses.append(-torch.log(likeness[k, twin] / (likeness[k].sum() - likeness[k, k])))
    torch.testing.assert_close(simclr_loss(rows[:4], rows[4:], 0.5), torch.stack(losses).mean())


def test_vicreg_punishes_distance_collapse_and_repetition() -> None:
    random = torch.Generator().manual_seed(0)
    good = torch.randn(64, 8, generator=random)
    assert vicreg_loss(good, good) < vicreg_loss(good, torch.randn(64, 8, generator=random)), "twins apart"
    assert vicreg_loss(good, good) < vicreg_loss(torch.zeros(64, 8), torch.zeros(64, 8)), "all alike"
    repeated = good[:, :1].repeat(1, 8)
    assert vicreg_loss(good, good) < vicreg_loss(repeated, repeated), "numbers that tell each other"


def _pixels(count: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.random.default_rng(0).integers(0, 255, (count, 32, 32, 3), dtype=np.uint8)


@pytest.mark.parametrize("method", ["vicreg", "simclr"])
def test_stopped_it_goes_on_to_the_same_weights(tmp_path: Path, method: str) -> None:
    settings = SMALL.model_copy(update={"method": method})
    pixels, ends = _pixels(64), []
    for name, interrupted in (("whole", False), ("stopped", True)):
        stop = StopRequest()

        def on_epoch(epoch: int, loss: float, stop: StopRequest = stop, asks: bool = interrupted) -> None:
            if asks and epoch == 1:
                stop.make(15, None)

        state = tmp_path / f"{name}-{method}.safetensors"
        trunk = find_network("convnet").build(Build(0, 32))
        loop = Loop(settings, torch.device("cpu"), state, stop, lambda d, t: None, on_epoch)
        if interrupted:
            with pytest.raises(TrainingStopped, match="1 epochs are saved"):
                learn_from_views(trunk, pixels, loop)
            trunk = find_network("convnet").build(Build(0, 32))
            loop = loop._replace(stop=StopRequest())
        assert len(learn_from_views(trunk, pixels, loop).losses) == 3
        ends.append(trunk.state_dict())
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])


def test_the_time_budget_ends_it(tmp_path: Path) -> None:
    settings = SMALL.model_copy(update={"epochs": 5000, "time_budget_minutes": 0.02})
    loop = Loop(
        settings, torch.device("cpu"), tmp_path / "s.safetensors", StopRequest(), lambda d, t: None, lambda e, x: None
    )
    found = learn_from_views(find_network("convnet").build(Build(0, 32)), _pixels(64), loop)
    assert 0 < len(found.losses) < 5000
    assert not found.is_whole


@pytest.mark.parametrize("method", ["vicreg", "patches"])
def test_a_folder_becomes_weights_that_training_loads(tmp_path: Path, method: str) -> None:
    folder = write_labelled(tmp_path / "pictures", {"down": 40, "round": 40})
    settings = SMALL.model_copy(update={"method": method, "epochs": 2, "channels": 1})
    job = PretrainJob(folder, "shapes", ScanSettings(near_duplicate_bits=-1), settings)
    report = pretrain_folder(job, Workspace.open(tmp_path / "workspace"), _no_sink)
    assert report.pictures < 80, "pictures of the test split are left out"
    assert report.scores[0].epoch == 0
    assert report.scores[-1].probe_accuracy is not None
    assert Path(report.page).is_file()
    given = dict(text.removeprefix("training.").split("=") for text in report.use)
    network = find_network(given["network"], given["weights"])
    trunk = network.build(Build(1, report.size_px, report.channels))
    random = find_network(given["network"]).build(Build(1, report.size_px, report.channels))
    name, value = next(iter(trunk.state_dict().items()))
    assert not torch.equal(value, random.state_dict()[name])


def test_too_few_pictures_are_refused(tmp_path: Path) -> None:
    folder = write_labelled(tmp_path / "pictures", {"down": 5})
    with pytest.raises(DataError, match="pictures to learn from"):
        pretrain_folder(PretrainJob(folder, "x", ScanSettings(), SMALL), Workspace.open(tmp_path / "w"), _no_sink)


def test_scores_tell_good_features_from_collapsed_ones() -> None:
    rng = np.random.default_rng(0)
    index = np.arange(200) % 2
    rows = LabelledRows(np.arange(200), index, np.arange(200) % 5 == 0)
    good = feature_scores((rng.normal(size=(200, 8)) + 4 * index[:, None]).astype(np.float32), rows)
    assert good.probe_accuracy == 1.0
    assert good.knn_accuracy is not None
    assert good.knn_accuracy > 0.9
    assert not good.is_collapsed
    alike = feature_scores(np.ones((200, 8), np.float32) + 1e-3 * rng.normal(size=(200, 8)).astype(np.float32), None)
    assert alike.is_collapsed
    assert alike.knn_accuracy is None


def test_nearest_neighbours_weigh_more() -> None:
    known = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    assert knn_classes(known, np.array([0, 1, 1]), np.array([[1.0, 0.0]]), 2).tolist() == [0]
