"""The resample plan: how often each training picture is drawn; pixels and rows are never copied."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import Field

from models.artifacts.tables import RESAMPLE_PLAN
from models.data.split import TRAIN
from models.settings import Settings

_EXPONENTS = {"natural": 0.0, "sqrt": 0.5, "balanced": 1.0}


class ResamplingSettings(Settings):
    """How much more often rare classes are drawn."""

    method: Literal["natural", "sqrt", "balanced"] = Field(
        default="sqrt",
        description="natural: as found; sqrt: half-way (in logarithm); balanced: every class equally often.",
        title="Method",
    )


def plan_resampling(split: pa.Table, settings: ResamplingSettings) -> pa.Table:
    """Table RESAMPLE_PLAN of the training rows, in their order; weights have mean 1.

    A class of n pictures gets weight n^-q each, with q 0, 0.5 or 1 (square-root and class-balanced sampling,
    arXiv 1910.09217, section 4.1).
    """
    train = split.filter(pc.equal(split["split"], TRAIN))
    labels = np.asarray(train["label"].to_pylist())
    _, index, counts = np.unique(labels, return_inverse=True, return_counts=True)
    weights = (counts.astype(np.float64) ** -_EXPONENTS[settings.method])[index]
    return pa.table([train["image_id"], train["label"], pa.array(weights / weights.mean())], schema=RESAMPLE_PLAN)


def effective_prior(
    labels: NDArray[np.str_], draw_weight: NDArray[np.float64], classes: list[str]
) -> NDArray[np.float64]:
    """(K,) share of each class among what is drawn, in the order of `classes`; sums to 1."""
    mass = np.array([draw_weight[labels == name].sum() for name in classes])
    return np.asarray(mass / mass.sum())
