"""The state of a training on disk: tensors and JSON in one safetensors file that is whole or absent."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import safetensors.torch
import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError, safe_open

from models.artifacts.durable import write_durably
from models.artifacts.records import EpochRecord

_KEY = "sortline.training"
_START = "start."
_KEPT_STATES = 3
Tensors = dict[str, torch.Tensor]


class FitPlan(BaseModel):
    """What was found out before the first step, so that a training that goes on does not find out anew.

    Attributes:
        epochs: over which the rate falls.
        last_epoch: behind which training ends, and whose weights are kept, whatever tune says; None where tune says it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: int
    batch_rows: int
    learning_rate: float
    precision: str
    last_epoch: int | None = None


class Place(BaseModel):
    """Where a training is.

    Attributes:
        losses: of the steps of this epoch so far.
        right: training rows of this epoch that were named rightly while learning, of `seen`.
        rate_factor: what the rate was lowered to, each time the loss left the numbers.
        micro_rows: rows that go through the network at once; fewer than a batch after memory ran out.
    """

    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="strings")

    plan: FitPlan
    epoch: int = 0
    step: int = 0
    losses: list[float] = []
    right: float = 0
    seen: int = 0
    epochs: list[EpochRecord] = []
    notes: list[str] = []
    rate_factor: float = 1.0
    micro_rows: int = 0
    elapsed_s: float = 0.0
    is_over: bool = False


class TrainingState(NamedTuple):
    """A place and all tensors that go with it, by names with a prefix: model., average., best., optimiser.N.

    Attributes:
        start: the state at the start of the epoch, for whoever has to go back there; None at the start itself.
    """

    place: Place
    tensors: Tensors
    start: TrainingState | None = None

    def copied(self) -> TrainingState:
        """The same, on its own."""
        tensors = {name: tensor.detach().clone() for name, tensor in self.tensors.items()}
        return TrainingState(self.place.model_copy(deep=True), tensors, self.start)


def save_state(path: Path, state: TrainingState) -> None:
    """Writes a state in one step.

    Raises:
        StorageError: it cannot be written.
    """
    named, places = state.tensors, {_KEY: state.place.model_dump_json()}
    if state.start:
        named = {**named, **with_prefix(_START, state.start.tensors)}
        places[_START] = state.start.place.model_dump_json()
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in named.items()}
    write_durably(path, safetensors.torch.save(tensors, metadata=places))


def load_state(path: Path) -> TrainingState | None:
    """The state at `path`; None where there is none that reads, so that training starts anew."""
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            places = {name: Place.model_validate_json(text) for name, text in file.metadata().items()}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            start = TrainingState(places[_START], behind_prefix(_START, tensors)) if _START in places else None
            own = {name: tensor for name, tensor in tensors.items() if not name.startswith(_START)}
            return TrainingState(places[_KEY], own, start)
    except (SafetensorError, KeyError, TypeError, ValidationError, ValueError):
        return None


def forget_old_states(folder: Path, kept: int = _KEPT_STATES) -> None:
    """Deletes all but the newest states."""
    states = sorted(folder.glob("*.safetensors"), key=lambda path: path.stat().st_mtime)
    for path in states[: -kept or None]:
        path.unlink(missing_ok=True)


def with_prefix(prefix: str, tensors: Mapping[str, torch.Tensor]) -> Tensors:
    """The tensors under names behind a prefix."""
    return {f"{prefix}{name}": tensor for name, tensor in tensors.items()}


def behind_prefix(prefix: str, tensors: Mapping[str, torch.Tensor]) -> Tensors:
    """The tensors whose names have the prefix, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def optimiser_tensors(optimiser: torch.optim.Optimizer) -> Tensors:
    """The optimiser's own numbers, by the position of their parameter."""
    state = optimiser.state_dict()["state"]
    return {f"{k}.{name}": torch.as_tensor(value) for k, entry in state.items() for name, value in entry.items()}


def restore_optimiser(optimiser: torch.optim.Optimizer, tensors: Mapping[str, torch.Tensor]) -> None:
    """Puts numbers from `optimiser_tensors` back."""
    entries: dict[int, Tensors] = {}
    for name, tensor in tensors.items():
        position, _, key = name.partition(".")
        entries.setdefault(int(position), {})[key] = tensor
    optimiser.load_state_dict({"state": entries, "param_groups": optimiser.state_dict()["param_groups"]})
