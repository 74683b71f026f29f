"""Learning with a frozen network: its features once a picture, and heads on them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.artifacts.durable import write_durably
from models.artifacts.records import PrivacyReport
from models.data.views import View, views_of
from models.learning.embed import FeatureStore
from models.learning.head import HeadData, Layer, fit_head
from models.learning.imbalance import ImbalancePlan
from models.learning.late import Chosen, HeadTrial, again, choose_head
from models.learning.lesson import Lesson, Sample, with_tune
from models.learning.loss_choice import loss_of
from models.learning.private_head import fit_private_head
from models.networks.registry import Build, Network
from models.parallel import OnProgress, no_progress, shifted
from models.serving.export import trunk_onnx
from models.version import __version__


class FrozenFit(NamedTuple):
    """A head on frozen features, and what it was chosen from.

    Attributes:
        prior: (K,) effective prior of what the head has seen.
        train_features: (N, D) of the train rows as they are.
        privacy: what was spent on the head; None where it is not private.
    """

    layers: tuple[Layer, ...]
    chosen: Chosen
    prior: NDArray[np.float64]
    train_features: NDArray[np.float32]
    privacy: PrivacyReport | None = None


def frozen_trunk(network: Network, build: Build, folder: Path) -> bytes:
    """ONNX bytes of a pretrained trunk, exported once and kept with the digest of what was kept."""
    digest = network.weights.digest if network.weights else f"random {build.seed}"
    identity = f"{network.name}:{digest}:{build.size_px}:{build.channels}:{__version__}"
    key = hashlib.sha256(identity.encode()).hexdigest()[:20]
    path, seal = folder / f"trunk-{key}.onnx", folder / f"trunk-{key}.sha256"
    if path.is_file() and seal.is_file():
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() == seal.read_text():
            return data
    data = trunk_onnx(network.build(build), build.size_px, build.channels)
    write_durably(path, data)
    write_durably(seal, hashlib.sha256(data).hexdigest().encode())
    return data


def feature_store(network: Network, build: Build, folder: Path) -> FeatureStore:
    """The store of a network's features."""
    return FeatureStore(folder, frozen_trunk(network, build, folder), build.preprocess)


def fit_frozen(
    lesson: Lesson,
    store: FeatureStore,
    plan: ImbalancePlan,
    on_progress: OnProgress = no_progress,
    on_step: OnProgress = no_progress,
) -> FrozenFit:
    """A head for every strength of regularisation, and the one that tune chose.

    Args:
        lesson: rows and settings.
        store: of features.
        plan: what is done about imbalance.
        on_progress: told of pictures embedded.
        on_step: told of steps of each head.
    """
    views = views_of(lesson.settings.augment.symmetries)
    train = _viewed(store, lesson.train, lesson.draw_weight, views, on_progress)
    rows = len(lesson.train.paths)
    tune = store.features(lesson.tune.paths, lesson.tune.image_ids)
    heads = [
        HeadTrial(decay, _head(train, lesson, plan, decay, on_step), tune, lambda: train.features[:rows])
        for decay in lesson.settings.head.weight_decays
    ]
    chosen = choose_head(heads, lesson, plan)
    layers, prior = chosen.layers, lesson.prior
    if lesson.settings.refit_on_tune and plan.late != "crt":
        joined = with_tune(lesson)
        both = _stacked(train, _viewed(store, lesson.tune, joined.draw_weight[rows:], views))
        layers = again(chosen, _head(both, joined, plan, chosen.trial.regularisation or 0.0, on_step))
        prior = joined.prior
    return FrozenFit(layers, chosen, prior, train.features[:rows])


def fit_private(
    lesson: Lesson, store: FeatureStore, plan: ImbalancePlan, on_progress: OnProgress = no_progress
) -> FrozenFit:
    """A head from which no single training picture can be told; tune chooses how far the prior is taken back.

    Raises:
        SettingsError: Opacus is not installed.
    """
    train = store.features(lesson.train.paths, lesson.train.image_ids, on_progress=on_progress)
    tune = store.features(lesson.tune.paths, lesson.tune.image_ids)
    settings, count = lesson.settings.privacy, len(lesson.classes)
    found = fit_private_head(train, lesson.train.class_index, count, settings, lesson.settings.seed)
    chosen = choose_head([HeadTrial(None, (found.layer,), tune, lambda: train)], lesson, plan)
    return FrozenFit(chosen.layers, chosen, lesson.prior, train, found.report)


def _head(data: HeadData, lesson: Lesson, plan: ImbalancePlan, decay: float, on_step: OnProgress) -> tuple[Layer, ...]:
    return fit_head(data, lesson.settings.head, loss_of(lesson, plan), decay, lesson.settings.seed, on_step)


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
    return HeadData(np.concatenate(parts), np.tile(sample.targets, (count, 1)), np.tile(draw_weight, count))


def _stacked(above: HeadData, below: HeadData) -> HeadData:
    return HeadData(
        np.concatenate([above.features, below.features]),
        np.concatenate([above.targets, below.targets]),
        np.concatenate([above.draw_weight, below.draw_weight]),
    )
