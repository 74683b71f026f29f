"""A folder of pictures to weights that training starts from, and what they are worth."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path
from typing import NamedTuple

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch import nn

from models.artifacts.durable import write_durably
from models.artifacts.pretrain_records import PretrainReport, PretrainScore
from models.artifacts.workspace import Workspace
from models.data.listing import file_name
from models.data.scan import ScanSettings, list_and_scan
from models.data.split import TRAIN, SplitSettings, readable_rows, split_of
from models.errors import DataError
from models.interruption import StopRequest, stop_on_signal
from models.learning.checkpoint import trunk_tensors
from models.learning.fit import training_device
from models.learning.passes import outputs_of
from models.learning.pixel_store import PixelStore
from models.learning.training_state import forget_old_states
from models.networks.registry import Build, Network, UprightTrunk, find_network
from models.parallel import ProgressSink, usable_cores
from models.pretraining.dictionary import learn_dictionary
from models.pretraining.scores import FeatureScores, LabelledRows, feature_scores
from models.pretraining.settings import PretrainSettings
from models.pretraining.twin_views import Loop, Pretrained, learn_from_views
from models.reports.pretrain_page import write_pretrain_page
from models.serving.registry import check_name
from models.version import __version__

_LEAST_PICTURES, _LEAST_LABELLED, _LEAST_HELD = 50, 20, 10
_log = logging.getLogger(__name__)


class PretrainJob(NamedTuple):
    """What is learned from; `name` is what the weights are called."""

    folder: Path
    name: str
    scan: ScanSettings
    settings: PretrainSettings


class _Pictures(NamedTuple):
    """What is seen: pixels (N, H, W, 3), and which of them have a label by which features are judged."""

    pixels: NDArray[np.uint8]
    labelled: LabelledRows | None
    digest: str


def pretrain_folder(job: PretrainJob, workspace: Workspace, sink: ProgressSink) -> PretrainReport:
    """What was learned from a folder; labels are used to judge it and for nothing else.

    Pictures whose labels put them into the test split are left out, so that a later training on the same folder is
    judged by pictures that its weights never saw.

    Raises:
        DataError: too few pictures.
        TrainingStopped: SIGTERM came; the same call goes on.
    """
    check_name(job.name)
    settings = job.settings
    is_patches = settings.method == "patches"
    network = find_network("patches" if is_patches else settings.network, settings.weights)
    build = Build(settings.seed, settings.size_px or network.size_px, settings.channels)
    pictures = _pictures(job, build, workspace, sink)
    torch.set_num_threads(usable_cores())
    with stop_on_signal() as stop:
        trunk = network.build(build)
        scores = [_score(0, None, _features(trunk, pictures, settings), pictures)]
        if is_patches:
            trained = Pretrained((), 0.0, is_whole=True)
            trunk = learn_dictionary(pictures.pixels, settings.channels, settings.seed)
            scores.append(_score(1, None, _features(trunk, pictures, settings), pictures))
        else:
            trained = _trained(trunk, pictures, job, (workspace, sink, stop), scores)
    return _finished(job, workspace, (network, build, trunk), pictures, (trained, scores))


def _trained(
    trunk: nn.Module,
    pictures: _Pictures,
    job: PretrainJob,
    around: tuple[Workspace, ProgressSink, StopRequest],
    scores: list[PretrainScore],
) -> Pretrained:
    workspace, sink, stop = around
    settings = job.settings

    def on_epoch(epoch: int, loss: float) -> None:
        if epoch % settings.judge_every and epoch != settings.epochs:
            return
        scores.append(_score(epoch, loss, _features(trunk, pictures, settings), pictures))
        _log.info("%s", score_line(scores[-1]))

    key = hashlib.sha256(f"{settings.model_dump_json()}:{pictures.digest}:{__version__}".encode()).hexdigest()[:24]
    state = workspace.states_dir / f"pretrain-{key}.safetensors"
    loop = Loop(settings, training_device(), state, stop, lambda d, t: sink("pretrain", d, t), on_epoch)
    trained = learn_from_views(trunk, pictures.pixels, loop)
    if trained.losses and scores[-1].epoch != len(trained.losses):
        features = _features(trunk, pictures, settings)
        scores.append(_score(len(trained.losses), trained.losses[-1], features, pictures))
    forget_old_states(workspace.states_dir)
    return trained


def _pictures(job: PretrainJob, build: Build, workspace: Workspace, sink: ProgressSink) -> _Pictures:
    manifest = list_and_scan(job.folder, job.scan, lambda d, t: sink("scan", d, t))
    rows = [row for row in readable_rows(manifest).to_pylist() if not _is_for_judging(row)]
    unique = list({row["image_id"]: row for row in rows}.values())
    if len(unique) < _LEAST_PICTURES:
        raise DataError(
            f"{job.folder} holds {len(unique)} pictures to learn from", f"{_LEAST_PICTURES} or more", "Add pictures."
        )
    ids = [row["image_id"] for row in unique]
    store = PixelStore(workspace.features_dir / "pixels", build.preprocess)
    pixels = store.pixels([job.folder / file_name(row) for row in unique], ids, lambda d, t: sink("decode", d, t))
    digest = hashlib.sha256("".join(sorted(ids)).encode()).hexdigest()
    return _Pictures(pixels, _labelled(unique), digest)


def _is_for_judging(row: dict[str, object]) -> bool:
    """Whether a training on the same folder, by its default division, would be judged or tuned by this picture."""
    given = row["given_split"]
    if given is not None:
        return given != TRAIN
    has_label = row["label"] is not None or row["labels"] is not None
    return has_label and split_of(str(row["group_id"]), SplitSettings()) == "test"


def _labelled(rows: list[dict[str, object]]) -> LabelledRows | None:
    """Rows with one label, of which every fifth is held out; None where they are too few, or of one class."""
    positions = [k for k, row in enumerate(rows) if row["label"] is not None]
    classes, index = np.unique([str(rows[k]["label"]) for k in positions], return_inverse=True)
    held = np.array([int(str(rows[k]["image_id"])[:8], 16) % 5 == 0 for k in positions], dtype=np.bool_)
    taught = set(index[~held].tolist())
    if len(positions) < _LEAST_LABELLED or len(classes) < 2 or held.sum() < _LEAST_HELD or len(taught) < len(classes):
        return None
    return LabelledRows(np.array(positions, dtype=np.int64), index.astype(np.int64), held)


def _features(trunk: nn.Module, pictures: _Pictures, settings: PretrainSettings) -> NDArray[np.float32]:
    device = training_device()
    body = UprightTrunk(trunk, settings.channels).to(device)

    def seen(part: NDArray[np.int64]) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(pictures.pixels[part])).to(device)

    return outputs_of(body, seen, np.arange(len(pictures.pixels)))


def _score(epoch: int, loss: float | None, features: NDArray[np.float32], pictures: _Pictures) -> PretrainScore:
    found: FeatureScores = feature_scores(features, pictures.labelled)
    return PretrainScore(epoch=epoch, loss=loss, **found._asdict())


def score_line(score: PretrainScore) -> str:
    """A score in one line of a log."""
    parts = [f"epoch {score.epoch}", f"spread {score.spread:.2f}"]
    parts += [f"loss {score.loss:.3f}"] if score.loss is not None else []
    if score.knn_accuracy is not None and score.probe_accuracy is not None:
        parts += [f"nearest neighbours {score.knn_accuracy:.3f}", f"linear {score.probe_accuracy:.3f}"]
    return ", ".join(parts)


def _finished(
    job: PretrainJob,
    workspace: Workspace,
    built: tuple[Network, Build, nn.Module],
    pictures: _Pictures,
    found: tuple[Pretrained, list[PretrainScore]],
) -> PretrainReport:
    (network, build, trunk), (trained, scores), settings = built, found, job.settings
    tensors = {name: torch.from_numpy(np.array(t)) for name, t in trunk_tensors(trunk).items()}
    about = {"method": settings.method, "pictures_sha256": pictures.digest, "sortline_version": __version__}
    data = safetensors.torch.save(tensors, about)
    path = workspace.weights_dir / f"{job.name}.safetensors"
    write_durably(path, data)
    page = workspace.reports_dir / f"{job.name}-pretrain.html"
    report = PretrainReport(
        name=job.name,
        method=settings.method,
        network=network.name,
        size_px=build.size_px,
        channels=settings.channels,
        started_from=network.weights.source if network.weights else "random weights",
        pictures=len(pictures.pixels),
        labelled=0 if pictures.labelled is None else len(pictures.labelled.positions),
        scores=tuple(scores),
        epochs=len(trained.losses),
        is_whole=trained.is_whole,
        elapsed_s=trained.elapsed_s,
        weights=str(path),
        weights_sha256=hashlib.sha256(data).hexdigest(),
        earned=_earned(scores),
        use=_use(network, build, path, settings),
        page=str(page),
        notes=_notes(trained, scores),
    )
    write_durably(path.with_suffix(".json"), report.model_dump_json(indent=1).encode())
    write_pretrain_page(page, report)
    return report


def _earned(scores: list[PretrainScore]) -> bool | None:
    """Whether a linear layer on it is better than on what it started from; None without labels."""
    before, after = scores[0].probe_accuracy, scores[-1].probe_accuracy
    return None if before is None or after is None else after > before


def _use(network: Network, build: Build, path: Path, settings: PretrainSettings) -> tuple[str, ...]:
    found = [f"training.network={network.name}", f"training.weights={path}"]
    found += [f"training.size_px={build.size_px}"] if build.size_px != network.size_px else []
    found += [f"training.channels={settings.channels}"] if settings.channels != 3 else []
    return tuple(found)


def _notes(trained: Pretrained, scores: list[PretrainScore]) -> tuple[str, ...]:
    found = [] if trained.is_whole else ["the time was over before all epochs"]
    if FeatureScores(scores[-1].spread).is_collapsed:
        found.append("all pictures have become alike: lower pretrain.learning_rate, or vary pictures less")
    if scores[-1].probe_accuracy is None:
        found.append("too few labels to judge it: a training has to show what it is worth")
    return tuple(found)
