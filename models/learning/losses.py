"""Losses a row, for soft targets too, with what each knows of how classes are spread."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from models.errors import DataError, ShapeError

Floats = NDArray[np.float64]
SoftmaxKind = Literal["cross_entropy", "focal", "balanced_softmax", "ldam"]
LossKind = Literal[SoftmaxKind, "binary"]


class LossSettings(NamedTuple):
    """What a loss needs to know.

    Attributes:
        kind: `binary` for several labels a picture.
        prior: (K,) effective prior of what is drawn, above 0; sums to 1, for binary the share of rows that carry
            each label.
        counts: (K,) training rows a class, above 0.
        label_smoothing: share of the target, 0..1, that is given to all classes alike.
        class_weights: (K,) with mean 1 over rows, or None.
        focal_gamma: 0 or more; 0 is cross-entropy.
        ldam_margin: margin of the rarest class, in logits.
    """

    kind: LossKind
    prior: Floats
    counts: Floats
    label_smoothing: float = 0.0
    class_weights: Floats | None = None
    focal_gamma: float = 2.0
    ldam_margin: float = 0.5


def plain_loss(class_count: int, kind: LossKind = "cross_entropy") -> LossSettings:
    """A loss to which all classes are alike."""
    ones = np.ones(class_count)
    return LossSettings(kind=kind, prior=ones / class_count, counts=ones)


def row_losses(
    settings: LossSettings, logits: torch.Tensor, targets: torch.Tensor, *, is_deferred_over: bool = True
) -> torch.Tensor:
    """(...,) loss of each row.

    Args:
        settings: which loss, of K classes.
        logits: (..., K) float.
        targets: (..., K) float: one-hot, multi-hot for binary, or convex combinations of those.
        is_deferred_over: whether class weights count yet (deferred re-weighting, arXiv 1906.07413).

    Raises:
        DataError: a class without rows, or that is never drawn.
        ShapeError: logits, targets and classes do not fit together.
    """
    require_usable(settings)
    _require_fitting(settings, logits, targets)
    targets = targets.to(logits.dtype)
    losses = _binary(settings, logits, targets) if settings.kind == "binary" else _softmax(settings, logits, targets)
    if settings.class_weights is None or not is_deferred_over:
        return losses
    return losses * _row_weights(_like(settings.class_weights, logits), targets)


def require_usable(settings: LossSettings) -> None:
    """Refuses a class without rows, or that is never drawn: its logarithm or root has no value.

    Raises:
        DataError: with the positions of those classes.
    """
    for name, values in (("share of the draws", settings.prior), ("number of training rows", settings.counts)):
        bad = np.flatnonzero(~(np.isfinite(values) & (values > 0)))
        if len(bad):
            raise DataError(
                f"the {name} of class(es) at {', '.join(map(str, bad))} is {', '.join(map(str, values[bad]))}",
                "a number above 0",
                "Add pictures of those classes, or give them a weight above 0.",
            )


def effective_number_weights(counts: Floats, beta: float) -> Floats:
    """(K,) weights (1 - beta) / (1 - beta^n), with mean 1 over rows (Cui et al., arXiv 1901.05555).

    Args:
        counts: (K,) training rows a class, above 0.
        beta: 0..1, below 1; 0 weighs all alike, and the closer to 1, the closer to 1 / n.

    Raises:
        DataError: a class without rows.
    """
    if not (counts > 0).all():
        raise DataError("a class without training rows", "one row or more of each", "Add pictures of every class.")
    # expm1 keeps the digits that 1 - beta^n loses where beta is close to 1.
    weights = 1 / -np.expm1(counts * np.log(beta)) if beta > 0 else np.ones(len(counts))
    return np.asarray(weights * counts.sum() / (counts @ weights))


def _require_fitting(settings: LossSettings, logits: torch.Tensor, targets: torch.Tensor) -> None:
    if logits.shape != targets.shape or logits.shape[-1] != len(settings.prior):
        raise ShapeError(
            f"logits {tuple(logits.shape)} and targets {tuple(targets.shape)} with {len(settings.prior)} classes",
            "two equal shapes that end in the number of classes",
            "Give every row one number a class.",
        )


def _softmax(settings: LossSettings, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Cross-entropy and its kin: each changes the logits, or weighs what they say."""
    if settings.kind == "balanced_softmax":
        # arXiv 2007.10740; the logit-adjusted loss of arXiv 2007.07314 with tau 1.
        logits = logits + _like(np.log(settings.prior), logits)
    elif settings.kind == "ldam":
        logits = logits - _like(_margins(settings), logits) * targets
    log_shares = torch.log_softmax(logits, -1)
    if settings.kind == "focal":
        log_shares = log_shares * _focus(log_shares, settings.focal_gamma)
    return -(_smoothed(targets, settings.label_smoothing, logits.shape[-1]) * log_shares).sum(-1)


def _binary(settings: LossSettings, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Mean over labels; each is a choice between two, so smoothing gives half to either."""
    wanted = _smoothed(targets, settings.label_smoothing, 2)
    return functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none").mean(-1)


def _margins(settings: LossSettings) -> Floats:
    """(K,) n^-1/4, the largest `ldam_margin` (Cao et al., arXiv 1906.07413).

    The paper multiplies by 30 behind the margin, since its logits are cosines; those of a plain linear head have no
    bound, and served without the factor they are probabilities. A factor of 10 only learned faster: macro recall on
    digits at ratio 50, a small network, five draws, 80.4 against 85.9 after 400 steps, 85.0 against 85.2 after 1200.
    """
    margins = settings.counts**-0.25
    return np.asarray(margins * (settings.ldam_margin / margins.max()))


def _focus(log_shares: torch.Tensor, gamma: float) -> torch.Tensor:
    """(1 - p)^gamma (Lin et al., arXiv 1708.02002); where p is 1, a gamma below 1 would have no gradient."""
    return (-torch.expm1(log_shares)).clamp_min(1e-12) ** gamma


def _smoothed(targets: torch.Tensor, share: float, ways: int) -> torch.Tensor:
    return targets * (1 - share) + share / ways if share else targets


def _row_weights(weights: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """(...,) mean weight of the classes of each row by their share in it; 1 for a row without any."""
    total = targets.sum(-1)
    return torch.where(total > 0, (targets * weights).sum(-1) / total.clamp_min(1e-12), 1.0)


def _like(values: Floats, logits: torch.Tensor) -> torch.Tensor:
    return torch.as_tensor(values, dtype=logits.dtype, device=logits.device)
