"""From a split and a resample plan to a checkpoint, by the way of learning that the network asks for."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray

from models.artifacts.durable import write_durably
from models.artifacts.records import Correction, EpochRecord, ModelCard, Trial
from models.data.draws import DrawWeights
from models.data.listing import file_name
from models.data.preprocess import Preprocess
from models.data.resample import average_draw_weight, effective_prior, read_draws
from models.data.split import TRAIN, TUNE, SplitSettings, split_settings
from models.errors import DataError
from models.learning.checkpoint import Checkpoint
from models.learning.correction import best_trial, log_offset, try_strengths
from models.learning.embed import FeatureStore, View, load_pixels
from models.learning.head import HeadData, Layer, fit_head, head_logits
from models.learning.scratch import ScratchData, fit_scratch
from models.learning.training_settings import TrainingSettings
from models.networks.registry import Network, find_network
from models.parallel import OnProgress, map_in_threads, no_progress, shifted, usable_cores
from models.serving.export import trunk_onnx
from models.version import __version__


class Sample(NamedTuple):
    """Rows of one split: where each picture lies, its digest, its class position and the user's weight."""

    paths: list[Path]
    image_ids: list[str]
    class_index: NDArray[np.int64]
    weight: NDArray[np.float64]


class Lesson(NamedTuple):
    """All that training is given; `draw_weight` is the average of `draws` over a whole training."""

    classes: tuple[str, ...]
    train: Sample
    tune: Sample
    draws: DrawWeights
    draw_weight: NDArray[np.float64]
    prior: NDArray[np.float64]
    settings: TrainingSettings
    split: SplitSettings


class Fitted(NamedTuple):
    """What training gave."""

    layers: tuple[Layer, ...]
    trunk: dict[str, NDArray[np.generic]]
    trials: list[Trial]
    chosen: Trial
    prior: NDArray[np.float64]
    epochs: tuple[EpochRecord, ...]


def prepare_lesson(folder: Path, split: pa.Table, plan: pa.Table, settings: TrainingSettings) -> Lesson:
    """The rows of train and tune, and how often each is drawn.

    Raises:
        DataError: pictures with a list of labels, or a class of which no picture is ever drawn.
    """
    _refuse_several_labels(split)
    classes = tuple(sorted(set(split["label"].to_pylist())))
    train, tune = (sample_of(folder, split, name, classes) for name in (TRAIN, TUNE))
    weights = average_draw_weight(plan)
    labels = np.asarray(plan["label"].to_pylist())
    prior = effective_prior(labels, weights, list(classes))
    _require_drawn(classes, prior)
    return Lesson(classes, train, tune, read_draws(plan), weights, prior, settings, split_settings(split))


def sample_of(folder: Path, split: pa.Table, name: str, classes: tuple[str, ...]) -> Sample:
    """Rows of one split, in the order of the table."""
    rows = split.filter(pc.equal(split["split"], name)).select(["path", "path_bytes", "image_id", "label", "weight"])
    found = rows.to_pylist()
    index = np.array([classes.index(row["label"]) for row in found], dtype=np.int64)
    weight = rows["weight"].fill_null(1).to_numpy()
    return Sample([folder / file_name(row) for row in found], [row["image_id"] for row in found], index, weight)


def fit_classifier(
    lesson: Lesson, name: str, data_sha256: str, features_dir: Path, on_progress: OnProgress = no_progress
) -> Checkpoint:
    """The checkpoint of a model called `name`.

    Args:
        lesson: rows and settings.
        name: the model's name.
        data_sha256: digest of the split, written into the card.
        features_dir: where features of frozen trunks are kept.
        on_progress: called with pictures or epochs done.
    """
    network = find_network(lesson.settings.network)
    preprocess = Preprocess(width_px=network.size_px, height_px=network.size_px)
    torch.set_num_threads(usable_cores())
    torch.use_deterministic_algorithms(True)
    if network.learner == "frozen":
        fitted = _fit_frozen(lesson, network, preprocess, features_dir, on_progress)
    else:
        fitted = _fit_from_scratch(lesson, network, preprocess, on_progress)
    offset = log_offset(fitted.prior, fitted.chosen.correction_strength)
    card = ModelCard(
        name=name,
        learner=network.learner,
        network=network.name,
        classes=lesson.classes,
        preprocess=preprocess,
        correction=Correction(
            objective_name=lesson.settings.objective,
            regularisation=fitted.chosen.regularisation,
            strength=fitted.chosen.correction_strength,
            log_offset=tuple(map(float, offset)),
            trials=tuple(fitted.trials),
        ),
        epochs=fitted.epochs,
        train_prior=_shares(lesson.train.class_index, len(lesson.classes)),
        effective_prior=tuple(map(float, fitted.prior)),
        split=lesson.split,
        train_rows=len(lesson.train.paths),
        tune_rows=len(lesson.tune.paths),
        data_sha256=data_sha256,
        weights_source=network.weights_source,
        weights_licence=network.weights_licence,
        sortline_version=__version__,
    )
    return Checkpoint(card, fitted.layers, fitted.trunk)


def frozen_trunk(network: Network, folder: Path) -> bytes:
    """ONNX bytes of a pretrained trunk, exported once and kept with the digest of what was kept."""
    key = hashlib.sha256(f"{network.name}:{network.weights_digest}:{__version__}".encode()).hexdigest()[:20]
    path, seal = folder / f"trunk-{key}.onnx", folder / f"trunk-{key}.sha256"
    if path.is_file() and seal.is_file():
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() == seal.read_text():
            return data
    data = trunk_onnx(network.build(0), network.size_px)
    write_durably(path, data)
    write_durably(seal, hashlib.sha256(data).hexdigest().encode())
    return data


def _fit_frozen(
    lesson: Lesson, network: Network, preprocess: Preprocess, features_dir: Path, on_progress: OnProgress
) -> Fitted:
    store = FeatureStore(features_dir, frozen_trunk(network, features_dir), preprocess)
    views: tuple[View, ...] = ("as_is", "mirrored") if lesson.settings.mirrored else ("as_is",)
    train = _viewed(store, lesson.train, lesson.draw_weight, views, on_progress)
    tune = store.features(lesson.tune.paths, lesson.tune.image_ids)
    trials: list[Trial] = []
    heads: dict[float | None, tuple[Layer, ...]] = {}
    for decay in lesson.settings.head.weight_decays:
        heads[decay] = _head(train, lesson, decay)
        logits = head_logits(tune, heads[decay])
        trials += try_strengths(logits, lesson.tune.class_index, lesson.prior, lesson.settings.objective, decay)
    chosen = best_trial(trials)
    layers, prior = heads[chosen.regularisation], lesson.prior
    if lesson.settings.refit_on_tune:
        more = _viewed(store, lesson.tune, tune_weights(lesson), views)
        both = _stacked(train, more)
        layers = _head(both, lesson, chosen.regularisation or 0.0)
        mass = np.bincount(both.class_index, both.draw_weight, len(lesson.classes))
        prior = mass / mass.sum()
    return Fitted(layers, {}, trials, chosen, prior, ())


def tune_weights(lesson: Lesson) -> NDArray[np.float64]:
    """(N,) draw weights of the tune rows: the user's own, each as much as training makes of it in its class."""
    train, count = lesson.train, len(lesson.classes)
    drawn = np.bincount(train.class_index, lesson.draw_weight, count)
    own = np.bincount(train.class_index, train.weight, count)
    return np.asarray((drawn / own)[lesson.tune.class_index] * lesson.tune.weight)


def _refuse_several_labels(split: pa.Table) -> None:
    several = split.num_rows - split["labels"].null_count
    if several:
        raise DataError(
            f"{several} of {split.num_rows} pictures have a list of labels",
            "one label a picture: training on several is not possible yet, audit, split and plan are",
            "Give each picture one label, in the column label or by its folder.",
        )


def _require_drawn(classes: tuple[str, ...], prior: NDArray[np.float64]) -> None:
    """Refuses classes that training would never see: their prior is 0, of which there is no logarithm."""
    missing = [name for name, share in zip(classes, prior.tolist(), strict=True) if not share > 0]
    if missing:
        raise DataError(
            f"no training picture of class {', '.join(missing)} is ever drawn",
            "a weight above 0 for one picture of every class",
            "Mend the column weight of the label table.",
        )


def _viewed(
    store: FeatureStore,
    sample: Sample,
    draw_weight: NDArray[np.float64],
    views: tuple[View, ...],
    on_progress: OnProgress = no_progress,
) -> HeadData:
    """Head data of every view of a sample, one view below the other."""
    parts = []
    for done, view in enumerate(views):
        rows = len(sample.paths)
        progress = shifted(on_progress, done * rows, len(views) * rows)
        parts.append(store.features(sample.paths, sample.image_ids, view, progress))
    count = len(views)
    return HeadData(np.concatenate(parts), np.tile(sample.class_index, count), np.tile(draw_weight, count))


def _stacked(above: HeadData, below: HeadData) -> HeadData:
    return HeadData(
        np.concatenate([above.features, below.features]),
        np.concatenate([above.class_index, below.class_index]),
        np.concatenate([above.draw_weight, below.draw_weight]),
    )


def _head(data: HeadData, lesson: Lesson, decay: float) -> tuple[Layer, ...]:
    return fit_head(data, len(lesson.classes), lesson.settings.head, decay, lesson.settings.seed)


def _fit_from_scratch(lesson: Lesson, network: Network, preprocess: Preprocess, on_progress: OnProgress) -> Fitted:
    data = ScratchData(
        load_sample(lesson.train, preprocess),
        lesson.train.class_index,
        lesson.draws,
        load_sample(lesson.tune, preprocess),
        lesson.tune.class_index,
    )
    trunk = network.build(lesson.settings.seed)
    model, epochs, tune_logits = fit_scratch(trunk, data, len(lesson.classes), lesson.settings, on_progress)
    trials = try_strengths(
        tune_logits,
        lesson.tune.class_index,
        lesson.prior,
        lesson.settings.objective,
        lesson.settings.scratch.weight_decay,
    )
    head = (model.weight.detach().numpy().copy(), model.bias.detach().numpy().copy())
    tensors = {name: np.asarray(tensor.numpy()) for name, tensor in model.trunk.state_dict().items()}
    return Fitted((head,), tensors, trials, best_trial(trials), lesson.prior, tuple(epochs))


def load_sample(sample: Sample, preprocess: Preprocess) -> NDArray[np.uint8]:
    """(N, H, W, 3) uint8 of every picture of a sample."""
    items = list(zip(sample.paths, sample.image_ids, strict=True))
    return np.stack(list(map_in_threads(lambda item: load_pixels(item[0], item[1], preprocess), items)))


def _shares(class_index: NDArray[np.int64], class_count: int) -> tuple[float, ...]:
    counts = np.bincount(class_index, minlength=class_count)
    return tuple(map(float, counts / counts.sum()))
