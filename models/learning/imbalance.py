"""What the one setting `training.imbalance` means: for draws, for the loss, and for what is done to a head behind it.

Few and cheap corrections are offered, one at a time: above full strength macro recall falls off a cliff.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from models.errors import SettingsError, ShapeError
from models.learning.correction import STRENGTHS
from models.learning.head import Layer
from models.learning.losses import SoftmaxKind
from models.learning.training_settings import Imbalance

Draws = Literal["natural", "sqrt", "balanced", "progressive"]
_REFIT_EPOCHS = 10
_REFIT_RATE = 1e-2
_REFIT_STEPS_AN_EPOCH = 25
_REFIT_ROWS = (8, 128)


class ImbalancePlan(NamedTuple):
    """One way of learning from classes of different sizes.

    Attributes:
        draws: a method of ResamplingSettings.
        loss: a kind of LossSettings.
        is_weighted: whether the loss has effective-number class weights.
        deferred_share: share of training, 0..1, before those weights count.
        late: what is done to the last layer behind training.
        strengths: of post-hoc logit adjustment, that are tried on tune.
    """

    draws: Draws = "natural"
    loss: SoftmaxKind = "cross_entropy"
    is_weighted: bool = False
    deferred_share: float = 0.0
    late: Literal["none", "crt", "tau_norm"] = "none"
    strengths: tuple[float, ...] = (0.0,)


_PLANS: dict[Imbalance, ImbalancePlan] = {
    "auto": ImbalancePlan(strengths=STRENGTHS),
    "natural": ImbalancePlan(),
    "sqrt": ImbalancePlan(draws="sqrt"),
    "balanced": ImbalancePlan(draws="balanced"),
    "progressive": ImbalancePlan(draws="progressive"),
    "effective_number": ImbalancePlan(is_weighted=True),
    "focal": ImbalancePlan(loss="focal"),
    "balanced_softmax": ImbalancePlan(loss="balanced_softmax"),
    "ldam_drw": ImbalancePlan(loss="ldam", is_weighted=True, deferred_share=0.8),
    "crt": ImbalancePlan(late="crt"),
    "tau_norm": ImbalancePlan(late="tau_norm"),
}


def plan_imbalance(method: Imbalance) -> ImbalancePlan:
    """What a method means."""
    return _PLANS[method]


def require_one_correction(method: Imbalance, resampling_method: str) -> None:
    """Refuses draws that take the prior back together with a method that does so too.

    `auto` goes with all draws, since it takes back the *effective* prior, of what is drawn, as far as tune says;
    `focal` and `natural` take nothing back.

    Args:
        method: `training.imbalance`.
        resampling_method: a method of ResamplingSettings, or `auto` where none was asked for.

    Raises:
        SettingsError: two corrections.
    """
    is_same = resampling_method == plan_imbalance(method).draws
    if resampling_method in ("auto", "natural") or method in ("auto", "natural", "focal") or is_same:
        return
    raise SettingsError(
        f"training.imbalance {method} and draws by {resampling_method} both take the class prior back",
        "one of them, since together they overshoot (digits at ratio 50: 10 points of macro recall lost at a "
        "strength of 1.5)",
        f"Leave the resampling method out, or set training.imbalance to auto, which allows for {resampling_method}.",
    )


def tau_normalised(weight: NDArray[np.float32], tau: float) -> NDArray[np.float32]:
    """(K, D) rows divided by their norm to the power tau (Kang et al., arXiv 1910.09217); their mean norm stays.

    Args:
        weight: (K, D) of a last layer; a row of zeros stays.
        tau: 0 leaves it as it is, 1 gives all rows one norm.
    """
    norms = np.linalg.norm(weight.astype(np.float64), axis=1)
    factors = np.where(norms > 0, np.maximum(norms, np.finfo(np.float64).tiny) ** -tau, 0)
    mean = (norms * factors).mean()
    return np.asarray(weight * (factors * (norms.mean() / mean if mean else 1.0))[:, None], dtype=np.float32)


def refit_balanced(
    features: NDArray[np.float32],
    class_index: NDArray[np.int64],
    class_count: int,
    weight_init: NDArray[np.float32],
    bias_init: NDArray[np.float32],
    seed: int,
) -> Layer:
    """The last layer trained on by draws in which all classes are equally often (cRT, arXiv 1910.09217).

    The equivalent of 10 epochs of AdamW (arXiv 1711.05101) with a rate of 0.01 that falls as a cosine, on
    standardised features; standardisation is folded in. Equal inputs and seed give equal weights on one machine.

    Args:
        features: (N, D) that the layer is given.
        class_index: (N,) positions 0..class_count-1; a class without rows is never drawn.
        class_count: K.
        weight_init: (K, D) to start from.
        bias_init: (K,) to start from.
        seed: of the draws.

    Raises:
        ShapeError: rows without a class position, or positions outside.
    """
    if len(features) != len(class_index) or not ((class_index >= 0) & (class_index < class_count)).all():
        raise ShapeError(
            f"{len(features)} rows of features with {len(class_index)} classes",
            f"one class position in 0..{class_count - 1} a row",
            "Take features and classes of the same rows.",
        )
    mean, spread = features.mean(0, dtype=np.float64), features.std(0, dtype=np.float64) + 1e-6
    weight, bias = (
        torch.tensor(values, dtype=torch.float32, requires_grad=True)
        for values in (weight_init * spread, bias_init + weight_init @ mean)
    )
    rows = torch.from_numpy(((features - mean) / spread).astype(np.float32))
    _train_balanced(rows, torch.from_numpy(class_index), weight, bias, torch.Generator().manual_seed(seed))
    final = weight.detach().double().numpy() / spread
    return final.astype(np.float32), (bias.detach().double().numpy() - final @ mean).astype(np.float32)


def _train_balanced(
    rows: torch.Tensor, labels: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, random: torch.Generator
) -> None:
    """Moves weight and bias; small sets have small batches, so that ten epochs are steps enough."""
    batch = min(max(len(rows) // _REFIT_STEPS_AN_EPOCH, _REFIT_ROWS[0]), _REFIT_ROWS[1])
    steps = -(-_REFIT_EPOCHS * len(rows) // batch)
    optimiser = torch.optim.AdamW([weight, bias], lr=_REFIT_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for chosen in torch.split(_balanced_draws(labels, steps * batch, random), batch):
        loss = functional.cross_entropy(functional.linear(rows[chosen], weight, bias), labels[chosen])
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()


def _balanced_draws(labels: torch.Tensor, count: int, random: torch.Generator) -> torch.Tensor:
    """(count,) row positions: first a class, then one of its rows."""
    order = labels.argsort(stable=True)
    sizes = torch.unique_consecutive(labels[order], return_counts=True)[1]
    starts = sizes.cumsum(0) - sizes
    classes = torch.randint(len(sizes), (count,), generator=random)
    within = (torch.rand(count, generator=random, dtype=torch.float64) * sizes[classes]).long()
    return order[starts[classes] + within]
