"""The resample plan: how often each training picture is drawn; pixels and rows are never copied."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import Field

from models.artifacts.tables import RESAMPLE_PLAN
from models.data.draws import DrawWeights, limit_draws
from models.data.split import TRAIN, row_classes
from models.errors import ContractBroken, DataError
from models.settings import Settings

Floats = NDArray[np.float64]
_EXPONENTS = {"auto": 0.0, "natural": 0.0, "sqrt": 0.5, "balanced": 1.0}
# Weights of the first and of the last epoch, where they are not the method's own.
_ENDS = {"progressive": ("natural", "balanced"), "undersample": ("balanced", "balanced")}
_ROWS_KEY = b"rows_per_epoch"
_NAMED_BAD = 5


class ResamplingSettings(Settings):
    """How much more often rare classes are drawn."""

    method: Literal[
        "auto", "natural", "sqrt", "balanced", "progressive", "effective_number", "repeat_factor", "undersample"
    ] = Field(
        default="auto",
        description=(
            "auto: what training.imbalance asks for, else as found; natural: as found; sqrt: half-way (in logarithm); "
            "balanced: every class equally often; progressive: "
            "from natural to balanced; effective_number: balanced, but large classes as found; "
            "repeat_factor: rare classes more than once; undersample: of every class as many as the rarest has."
        ),
        title="Method",
    )
    effective_beta: float = Field(
        default=0.999,
        gt=0,
        lt=1,
        description="For effective_number: pictures of classes beyond some 1 / (1 - beta) are drawn alike.",
        title="Beta",
    )
    repeat_threshold: float = Field(
        default=0.1,
        gt=0,
        le=1,
        description="For repeat_factor: classes on a smaller share of the pictures are repeated; LVIS took 0.001.",
        title="Repeat threshold",
    )
    max_repeats: int = Field(
        default=0,
        ge=0,
        le=1_000_000,
        description="Most often that one picture is drawn an epoch; 0: no limit.",
        title="Most repeats",
    )


class ClassDraws(NamedTuple):
    """One class before and after resampling; with several labels a picture, shares add up to more than 1.

    Attributes:
        label: its name; `(none)` stands for pictures to which no class applies.
        rows: training rows that carry it.
        row_share: their share of the training rows, 0..1.
        draws: times that they are drawn an epoch, on average over a training.
        draw_share: their share of the draws, 0..1.
    """

    label: str
    rows: int
    row_share: float
    draws: float
    draw_share: float


def resampling_for(draws: str, settings: ResamplingSettings) -> ResamplingSettings:
    """The settings with `auto` replaced by the draws that training's way with imbalance asks for."""
    return settings if settings.method != "auto" else settings.model_copy(update={"method": draws})


def plan_resampling(split: pa.Table, settings: ResamplingSettings) -> pa.Table:
    """Table RESAMPLE_PLAN of the training rows, in their order; weights have mean 1.

    A row's weight is the user's own times the factor of its class; of several classes, the largest factor (as LVIS
    does). A row of weight 0 is left out: it counts in no class and no epoch. An epoch draws as many rows as can be
    drawn; `repeat_factor` the sum of the factors, `undersample` classes times the rarest class's rows, none twice.

    Raises:
        DataError: weights that are negative or not finite, or no row that can be drawn.
        SettingsError: `max_repeats` leaves no room for the draws of an epoch.
    """
    train = split.filter(pc.equal(split["split"], TRAIN))
    own, classes = _own_weights(train), row_classes(train)
    drawable = int((own > 0).sum())
    counts = Counter(name for row, weight in zip(classes, own, strict=True) if weight > 0 for name in set(row))
    ends = [
        _row_factors(classes, class_factors(method, counts, drawable, settings))
        for method in _ENDS.get(settings.method, (settings.method,))
    ]
    rows = _rows_drawn(settings.method, counts, ends[0][own > 0])
    most = 1 if settings.method == "undersample" else settings.max_repeats or rows
    weights = [limit_draws(own * factors, rows, most) for factors in ends]
    columns = [pa.array(drawn / drawn.mean()) for drawn in (weights[0], weights[-1])]
    schema = RESAMPLE_PLAN.with_metadata({**RESAMPLE_PLAN.metadata, _ROWS_KEY: str(rows)})
    return pa.table([*(train[name] for name in ("image_id", "label", "labels")), *columns], schema=schema)


def class_factors(method: str, counts: Mapping[str, int], rows: int, settings: ResamplingSettings) -> dict[str, float]:
    """Factor of each class, of which n among `rows` rows carry it.

    n^-q with q 0, 0.5 or 1 (Kang et al., arXiv 1910.09217, section 4.1); (1 - beta) / (1 - beta^n) (Cui et al.,
    arXiv 1901.05555); max(1, sqrt(t / f)) with f = n / rows (Gupta et al., arXiv 1908.03195, appendix B.2).
    """
    n = np.array(list(counts.values()), dtype=np.float64)
    if method == "effective_number":
        factors = (1 - settings.effective_beta) / (1 - settings.effective_beta**n)
    elif method == "repeat_factor":
        factors = np.maximum(1, np.sqrt(settings.repeat_threshold * rows / n))
    else:
        factors = n ** -_EXPONENTS[method]
    return dict(zip(counts, factors.tolist(), strict=True))


def rows_per_epoch(plan: pa.Table) -> int:
    """Rows that an epoch draws by a table RESAMPLE_PLAN.

    Raises:
        ContractBroken: a table that does not say.
    """
    text = (plan.schema.metadata or {}).get(_ROWS_KEY, b"")
    if not text.isdigit():
        raise ContractBroken(
            f"a resample plan says {text.decode(errors='replace')!r} of the rows an epoch draws",
            "their number in its metadata",
            "Make the plan again.",
        )
    return int(text)


def read_draws(plan: pa.Table) -> DrawWeights:
    """What the sampler needs of a table RESAMPLE_PLAN."""
    first, last = (plan[name].to_numpy() for name in ("draw_weight", "last_draw_weight"))
    return DrawWeights(first, last, rows_per_epoch(plan))


def average_draw_weight(plan: pa.Table) -> Floats:
    """(N,) weights over a whole training: half-way between the first and the last epoch; mean 1."""
    draws = read_draws(plan)
    return (draws.first + draws.last) / 2


def plan_summary(plan: pa.Table) -> list[ClassDraws]:
    """Every class before and after resampling, by name."""
    weights, rows = average_draw_weight(plan), rows_per_epoch(plan)
    counts: Counter[str] = Counter()
    mass: Counter[str] = Counter()
    for names, weight in zip(row_classes(plan), (weights / weights.sum()).tolist(), strict=True):
        for name in set(names):
            counts[name] += 1
            mass[name] += weight
    return [
        ClassDraws(name, counts[name], counts[name] / plan.num_rows, mass[name] * rows, mass[name])
        for name in sorted(counts)
    ]


def effective_prior(labels: NDArray[np.str_], draw_weight: Floats, classes: list[str]) -> Floats:
    """(K,) share of each class among what is drawn, in the order of `classes`; sums to 1."""
    mass = np.array([draw_weight[labels == name].sum() for name in classes])
    return np.asarray(mass / mass.sum())


def _own_weights(train: pa.Table) -> Floats:
    """(N,) the user's weights in 0..1, the largest 1."""
    weights = train["weight"].fill_null(1).to_numpy()
    bad = np.flatnonzero(~np.isfinite(weights) | (weights < 0))
    if len(bad):
        paths = train["path"].take(bad[:_NAMED_BAD]).to_pylist()
        raise DataError(
            f"{len(bad)} training row(s) with a weight below zero or not finite ({', '.join(map(str, paths))})",
            "weights of 0 or more",
            "Mend the column weight of the label table.",
        )
    if not weights.any():
        raise DataError(
            f"of {train.num_rows} training rows none has a weight above 0",
            "a row that can be drawn",
            "Put pictures into train, or mend the column weight of the label table.",
        )
    return np.asarray(weights / weights.max())


def _row_factors(classes: Iterable[tuple[str, ...]], factors: Mapping[str, float]) -> Floats:
    """(N,) the largest factor of each row's classes; one that no row draws has 0."""
    return np.array([max(factors.get(name, 0.0) for name in row) for row in classes])


def _rows_drawn(method: str, counts: Mapping[str, int], factors: Floats) -> int:
    """Rows that an epoch draws, by the factors of the rows that can be drawn."""
    if method == "undersample":
        # A row of several classes counts in each, so their sum can exceed the rows there are.
        return min(len(counts) * min(counts.values()), len(factors))
    return round(float(factors.sum())) if method == "repeat_factor" else len(factors)
