"""What a deployment states about itself: how frequent its classes are, and what mistakes cost there."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from models.artifacts.records import Task
from models.errors import SettingsError
from models.settings import Settings

_ROUNDING = 1e-6
Share = Annotated[float, Field(ge=0, le=1)]
Cost = Annotated[float, Field(allow_inf_nan=False)]
Floats = NDArray[np.float64]


class JudgingSettings(Settings):
    """What is asked of a scorecard beside what every model is asked, of pictures with one label."""

    deployment_prior: dict[str, Share] = Field(
        default={},
        title="Classes in deployment",
        description='Share of each class where the model will work, as {"good": 0.97, "cracked": 0.03}; the shares sum '
        "to 1. Empty: it is not stated.",
    )
    cost_matrix: dict[str, dict[str, Cost]] = Field(
        default={},
        title="Costs of mistakes",
        description='Cost of a picture by its true and then its predicted class, as {"cracked": {"good": 20}}. A pair '
        "that is not named costs 0 where it is right, else 1. Empty: costs are not stated.",
    )

    @field_validator("deployment_prior", "cost_matrix", mode="before")
    @classmethod
    def _read_json(cls, value: Any) -> Any:
        """Text of the command line as what it says."""
        if not isinstance(value, str):
            return value
        try:
            return json.loads(value or "{}")
        except json.JSONDecodeError as error:
            raise ValueError(f'is not JSON, such as {{"good": 0.5}} ({error})') from error


def require_fitting(settings: JudgingSettings, classes: Sequence[str], task: Task = "single_label") -> None:
    """Refuses what the settings state of other classes than these.

    Worth asking before a training, which takes its time.

    Raises:
        SettingsError: as `prior_shares` and `costs`, or either is stated of pictures with several labels.
    """
    if task == "multi_label" and (settings.deployment_prior or settings.cost_matrix):
        raise SettingsError(
            "a deployment prior or a cost matrix is stated of pictures with several labels",
            "pictures with one label each",
            "Leave judging.deployment_prior and judging.cost_matrix out.",
        )
    prior_shares(settings, classes)
    costs(settings, classes)


def prior_shares(settings: JudgingSettings, classes: Sequence[str]) -> Floats | None:
    """(K,) stated share of each class, summing to 1; null where none is stated.

    Raises:
        SettingsError: a class without a share, a share of an unknown class, or another sum.
    """
    stated = settings.deployment_prior
    if not stated:
        return None
    unknown, absent = sorted(set(stated) - set(classes)), [label for label in classes if label not in stated]
    total = sum(stated.values())
    if unknown or absent or abs(total - 1) > _ROUNDING:
        raise SettingsError(
            f"judging.deployment_prior names {len(unknown)} unknown classes {', '.join(unknown[:5])}, lacks "
            f"{len(absent)} {', '.join(absent[:5])}, and its shares sum to {total:g}",
            f"one share of each of {', '.join(classes)}, with a sum of 1",
            "Mend the setting.",
        )
    return np.array([stated[label] for label in classes]) / total


def costs(settings: JudgingSettings, classes: Sequence[str]) -> Floats | None:
    """(K, K) cost of a picture, row = true class, column = predicted class; null where none is stated.

    Raises:
        SettingsError: an unknown class.
    """
    stated = settings.cost_matrix
    if not stated:
        return None
    named = {*stated, *(label for row in stated.values() for label in row)}
    if unknown := sorted(named - set(classes)):
        raise SettingsError(
            f"judging.cost_matrix names {len(unknown)} unknown classes {', '.join(unknown[:5])}",
            f"some of {', '.join(classes)}",
            "Mend the setting.",
        )
    return np.array([[stated.get(true, {}).get(named, float(true != named)) for named in classes] for true in classes])
