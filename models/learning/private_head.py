"""A linear head by differentially private gradient descent (Abadi et al., arXiv 1607.00133); Opacus does the work.

What it covers: the training pictures' part in the head. What it does not: pictures of tune, by which a correction and a
temperature are chosen, and how many pictures each class has. Features come from a network that never saw the pictures;
they are brought to length 1 each on its own, so that no statistic of all of them is needed.
"""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from models.artifacts.records import PrivacyReport
from models.errors import SettingsError
from models.learning.head import Layer
from models.learning.lesson import Lesson
from models.learning.privacy_settings import PrivacySettings
from models.networks.unit_rows import PREFIX


class PrivateHead(NamedTuple):
    """A head on features of length 1, and what was spent on it."""

    layer: Layer
    report: PrivacyReport


def require_private(lesson: Lesson) -> None:
    """Refuses settings under which more would get out than what epsilon counts; all findings at once.

    Raises:
        SettingsError: naming them.
    """
    settings = lesson.settings
    findings = {
        f"training.network={settings.network}, whose features have any length": not settings.network.startswith(
            f"{PREFIX}/"
        ),
        f"training.learner={settings.learner}": settings.learner != "frozen",
        "training.refit_on_tune=true": settings.refit_on_tune,
        f"training.imbalance={settings.imbalance}": settings.imbalance not in ("auto", "natural"),
        "training.search": settings.search.trials > 0,
        "training.pseudo": bool(settings.pseudo.folder),
        "several labels a picture": lesson.task == "multi_label",
    }
    found = [text for text, is_wrong in findings.items() if is_wrong]
    if found:
        raise SettingsError(
            f"training.privacy.epsilon={settings.privacy.epsilon} with {'; '.join(found)}",
            "one linear head on features of length 1",
            "Set training.network=unit/efficientnet_lite0, training.learner=frozen, training.refit_on_tune=false.",
        )


def fit_private_head(
    features: NDArray[np.float32],
    class_index: NDArray[np.int64],
    class_count: int,
    settings: PrivacySettings,
    seed: int,
) -> PrivateHead:
    """A linear layer on features (N, D) of length 1 that spends no more than the settings' epsilon.

    The noise comes from PyTorch's generator, which is none for secrets: whoever knows the seed can take it away. So the
    seed is mixed with what the machine gives for secrets, and two trainings differ.

    Raises:
        SettingsError: Opacus is not installed.
    """
    try:
        from opacus import PrivacyEngine  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise SettingsError(
            "package opacus is not installed", "the extra `privacy`", "Run pip install 'sortline[privacy]'."
        ) from error
    delta = settings.delta or 0.1 / len(features)
    rows = TensorDataset(torch.from_numpy(features), torch.from_numpy(class_index))
    layer = nn.Linear(features.shape[1], class_count)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    optimiser = torch.optim.SGD(layer.parameters(), lr=settings.learning_rate)
    secret = torch.Generator().manual_seed(seed ^ int(torch.seed() % 2**62))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of hooks, and of the generator, which is told above
        engine = PrivacyEngine()
        model, private, loader = engine.make_private_with_epsilon(
            module=layer,
            optimizer=optimiser,
            data_loader=DataLoader(rows, batch_size=min(settings.batch_rows, len(rows))),
            epochs=settings.epochs,
            target_epsilon=settings.epsilon,
            target_delta=delta,
            max_grad_norm=settings.clip,
            noise_generator=secret,
        )
        for _ in range(settings.epochs):
            for drawn, wanted in loader:
                private.zero_grad()
                nn.functional.cross_entropy(model(drawn), wanted).backward()  # type: ignore[no-untyped-call]
                private.step()
        spent = float(engine.get_epsilon(delta))
    weight, bias = (tensor.detach().numpy().copy() for tensor in (layer.weight, layer.bias))
    report = PrivacyReport(
        epsilon=spent,
        asked_epsilon=settings.epsilon,
        delta=delta,
        clip=settings.clip,
        noise_multiplier=float(private.noise_multiplier),
        epochs=settings.epochs,
        rows=len(features),
    )
    return PrivateHead((weight, bias), report)
