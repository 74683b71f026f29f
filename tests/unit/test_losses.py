from __future__ import annotations

from typing import Any, get_args

import numpy as np
import pytest
import torch
from torch.nn import functional

from models.errors import DataError, ShapeError
from models.learning.losses import LossKind, LossSettings, effective_number_weights, row_losses

_COUNTS = np.array([80.0, 15.0, 5.0])
_KINDS: tuple[LossKind, ...] = get_args(LossKind)


def _settings(kind: LossKind, **changes: Any) -> LossSettings:
    return LossSettings(kind, _COUNTS / _COUNTS.sum(), _COUNTS)._replace(**changes)


def _logits() -> torch.Tensor:
    return torch.randn(6, 3, generator=torch.Generator().manual_seed(0)) * 3


_LABELS = torch.tensor([0, 1, 2, 2, 0, 1])
_TARGETS = torch.eye(3)[_LABELS]


def test_cross_entropy_is_that_of_torch() -> None:
    logits, weights = _logits(), np.array([0.5, 1.0, 2.0])
    smoothed = row_losses(_settings("cross_entropy", label_smoothing=0.1), logits, _TARGETS)
    weighted = row_losses(_settings("cross_entropy", class_weights=weights), logits, _TARGETS)
    assert torch.allclose(smoothed, functional.cross_entropy(logits, _LABELS, reduction="none", label_smoothing=0.1))
    torchs = functional.cross_entropy(logits, _LABELS, torch.tensor(weights).float(), reduction="none")
    assert torch.allclose(weighted, torchs)


def test_soft_targets_give_the_mean_of_hard_ones() -> None:
    settings = _settings("cross_entropy")
    first, second = (row_losses(settings, _logits(), functional.one_hot((_LABELS + k) % 3, 3)) for k in (0, 1))
    mixed = row_losses(settings, _logits(), 0.3 * _TARGETS + 0.7 * _TARGETS.roll(1, 1))
    assert torch.allclose(mixed, 0.3 * first + 0.7 * second, atol=1e-5)


def test_binary_is_that_of_torch_and_a_row_without_labels_counts() -> None:
    logits, targets = _logits(), torch.tensor([[0.0, 0, 0], [1, 1, 0]] * 3)
    settings = _settings("binary", label_smoothing=0.2, class_weights=np.array([0.5, 1.5, 4.0]))
    torchs = functional.binary_cross_entropy_with_logits(logits, targets * 0.8 + 0.1, reduction="none").mean(1)
    assert torch.allclose(row_losses(settings, logits, targets), torchs)  # weights (0.5 + 1.5) / 2, and 1 without


def test_focal_by_hand() -> None:
    share = torch.tensor([0.9, 0.05, 0.05])
    losses = row_losses(_settings("focal"), share.log(), torch.tensor([1.0, 0, 0]))
    assert float(losses) == pytest.approx(-(0.1**2) * np.log(0.9), rel=1e-4)
    plain = row_losses(_settings("focal", focal_gamma=0.0), _logits(), _TARGETS)
    assert torch.allclose(plain, row_losses(_settings("cross_entropy"), _logits(), _TARGETS))


def test_balanced_softmax_takes_the_prior_back() -> None:
    logits = _logits()
    with_prior = logits + torch.tensor(np.log(_COUNTS / 100)).float()
    assert torch.allclose(
        row_losses(_settings("balanced_softmax"), logits, _TARGETS),
        functional.cross_entropy(with_prior, _LABELS, reduction="none"),
    )
    even = _settings("balanced_softmax", prior=np.full(3, 1 / 3))
    assert torch.allclose(
        row_losses(even, logits, _TARGETS), row_losses(_settings("cross_entropy"), logits, _TARGETS), atol=1e-6
    )


def test_ldam_subtracts_the_widest_margin_from_the_rarest_class() -> None:
    logits = torch.zeros(3, 3)
    losses = row_losses(_settings("ldam", ldam_margin=0.8), logits, torch.eye(3))
    margins = torch.tensor([0.8 * (5 / 80) ** 0.25, 0.8 * (5 / 15) ** 0.25, 0.8])
    assert torch.allclose(losses, torch.log(2 + torch.exp(-margins)) + margins)


def test_class_weights_count_only_once_they_are_due() -> None:
    plain, weighted = _settings("ldam"), _settings("ldam", class_weights=np.array([0.5, 1.0, 3.0]))
    early = row_losses(weighted, _logits(), _TARGETS, is_deferred_over=False)
    assert torch.equal(early, row_losses(plain, _logits(), _TARGETS))
    due = row_losses(weighted, _logits(), _TARGETS)
    assert torch.allclose(due, early * torch.tensor([0.5, 1.0, 3.0])[_LABELS])


@pytest.mark.parametrize("kind", _KINDS)
def test_members_side_by_side_lose_what_each_does_alone(kind: LossKind) -> None:
    settings = _settings(kind, label_smoothing=0.1, class_weights=np.array([0.5, 1.0, 3.0]))
    logits, targets = torch.stack([_logits(), -_logits()]), torch.stack([_TARGETS, _TARGETS.roll(1, 0)])
    alone = [row_losses(settings, *member) for member in zip(logits, targets, strict=True)]
    assert torch.allclose(row_losses(settings, logits, targets), torch.stack(alone))


@pytest.mark.parametrize("kind", _KINDS)
def test_extreme_logits_have_finite_losses_and_gradients(kind: LossKind) -> None:
    logits = torch.tensor([[1e4, 0.0, -1e4], [-1e4, 1e4, 1e4]], requires_grad=True)
    settings = _settings(kind, label_smoothing=0.1, focal_gamma=0.5, class_weights=np.ones(3))
    losses = row_losses(settings, logits.expand(2, 2, 3), torch.eye(3)[torch.tensor([[0, 2], [2, 0]])])
    losses.sum().backward()  # type: ignore[no-untyped-call]
    assert losses.shape == (2, 2)
    assert losses.isfinite().all()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("name", ["prior", "counts"])
def test_a_class_that_is_never_drawn_is_refused(name: str) -> None:
    settings = _settings("balanced_softmax", **{name: np.array([0.5, 0.0, 0.5])})
    with pytest.raises(DataError, match="at 1 is 0"):
        row_losses(settings, _logits(), _TARGETS)


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ShapeError, match="3 classes"):
        row_losses(_settings("cross_entropy"), torch.zeros(6, 4), torch.zeros(6, 4))


def test_effective_number_weights_by_hand() -> None:
    weights = effective_number_weights(_COUNTS, 0.9)
    assert weights / weights[0] == pytest.approx((1 - 0.9**80) / (1 - 0.9**_COUNTS))
    assert (weights * _COUNTS).sum() / _COUNTS.sum() == pytest.approx(1)
    assert effective_number_weights(_COUNTS, 0.0) == pytest.approx(np.ones(3))
    close_to_one = effective_number_weights(_COUNTS, 1 - 1e-12)
    assert close_to_one * _COUNTS == pytest.approx(np.full(3, 100 / 3), rel=1e-3)
    with pytest.raises(DataError, match="without training rows"):
        effective_number_weights(np.array([3.0, 0.0]), 0.9)
