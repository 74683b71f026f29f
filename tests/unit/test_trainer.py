"""A training ends with the same weights however often it is interrupted, and knows what to do when things go wrong."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from models.artifacts.records import EpochRecord
from models.data.draws import DrawWeights
from models.errors import MachineError, TrainingDiverged, TrainingStopped
from models.interruption import StopRequest
from models.learning.classifier import Classifier, random_head
from models.learning.losses import LossSettings
from models.learning.passes import outputs_of
from models.learning.probe import Probe
from models.learning.progress import EpochProgress, no_epochs
from models.learning.trainer import Goal, Runtime, Trained, Trainer
from models.learning.training_settings import FitSettings
from models.learning.training_state import FitPlan, Place, TrainingState, load_state, save_state

ROWS, STEPS, EPOCHS = 22, 3, 4
PLAN = FitPlan(epochs=EPOCHS, batch_rows=8, learning_rate=0.05, precision="float32")


class Numbers:
    """Vectors as inputs, moved a little at every draw; `spoil` may change a batch."""

    def __init__(self, spoil: Callable[[torch.Tensor], torch.Tensor] = lambda batch: batch) -> None:
        rng = np.random.default_rng(0)
        self.rows = rng.normal(size=(ROWS, 6)).astype(np.float32)
        self.index = (self.rows[:, 0] > 0).astype(np.int64)
        self.targets = np.eye(2, dtype=np.float32)[self.index]
        self.spoil = spoil
        self.tune_rows = ROWS

    def draw(
        self, positions: NDArray[np.int64], random: torch.Generator, device: torch.device
    ) -> tuple[torch.Tensor, torch.Tensor]:
        moved = torch.from_numpy(self.rows[positions]) + 0.1 * torch.randn(len(positions), 6, generator=random)
        return self.spoil(moved), torch.from_numpy(self.targets[positions])

    def plain(self, positions: NDArray[np.int64], device: torch.device) -> torch.Tensor:
        return torch.from_numpy(self.rows[positions])

    tune = plain


class Body(nn.Module):
    """A layer with a norm, whose averages are state too; `check` sees every batch."""

    def __init__(self, check: Callable[[torch.Tensor], None] = lambda batch: None) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.layers = nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Dropout(0.2))
        self.check = check

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        self.check(batch)
        found: torch.Tensor = self.layers(batch)
        return found


def _goal(inputs: Numbers, score: Callable[[NDArray[np.float64]], float] | None = None) -> Goal:
    loss = LossSettings(kind="cross_entropy", prior=np.array([0.5, 0.5]), counts=np.array([11.0, 11.0]))
    ones = np.ones(ROWS)
    return Goal(
        loss,
        0.0,
        DrawWeights(ones, ones * np.linspace(1, 2, ROWS), ROWS),
        score or (lambda logits: float((logits.argmax(1) == inputs.index).mean())),
        lambda logits: 0.5,
        lambda logits: 0.0,
    )


def _train(  # noqa: PLR0917
    path: Path | None,
    stop_after: int | None = None,
    inputs: Numbers | None = None,
    body: Body | None = None,
    settings: FitSettings | None = None,
    score: Callable[[NDArray[np.float64]], float] | None = None,
    budget_s: float = 1e9,
) -> tuple[Classifier, Trained, list[EpochProgress]]:
    stop, told = StopRequest(), list[EpochProgress]()
    steps = [0]

    def on_step(done: int, total: int) -> None:
        steps[0] += 1
        if steps[0] == stop_after:
            stop.make()

    model = Classifier(body or Body(), random_head(5, 2, 0.1, 0))
    inputs = inputs or Numbers()
    runtime = Runtime(torch.device("cpu"), path, budget_s, stop, on_step, told.append)
    settings = settings or FitSettings(ema_decay=0.9, checkpoint_seconds=1e4)
    trained = Trainer(model, inputs, _goal(inputs, score), settings, 7, runtime).run(lambda: PLAN)
    return model, trained, told


def _equal(left: nn.Module, right: nn.Module) -> bool:
    pairs = zip(left.state_dict().values(), right.state_dict().values(), strict=True)
    return all(torch.equal(one, other) for one, other in pairs)


@pytest.mark.parametrize("settings", [FitSettings(checkpoint_seconds=0), FitSettings(ema_decay=0.9)])
@pytest.mark.parametrize("pauses", [[1], [2, 3, 1], [STEPS], [STEPS * EPOCHS - 1], [1] * 5])
def test_interrupted_training_ends_with_the_same_weights(
    tmp_path: Path, pauses: list[int], settings: FitSettings
) -> None:
    whole, expected, _ = _train(None, settings=settings)
    for steps in pauses:
        with pytest.raises(TrainingStopped, match="its state is saved"):
            _train(tmp_path / "s.safetensors", stop_after=steps, settings=settings)
    model, trained, _ = _train(tmp_path / "s.safetensors", settings=settings)
    assert _equal(model, whole)
    assert trained.epochs == expected.epochs


def test_finished_training_is_not_repeated(tmp_path: Path) -> None:
    path = tmp_path / "s.safetensors"
    first, trained, _ = _train(path)

    def never(_batch: torch.Tensor) -> torch.Tensor:
        raise AssertionError("drawn again")

    again, same, told = _train(path, inputs=Numbers(never))
    assert _equal(first, again)
    assert (same.epochs, told) == (trained.epochs, [])


def test_broken_state_is_no_state(tmp_path: Path) -> None:
    path = tmp_path / "s.safetensors"
    with pytest.raises(TrainingStopped):
        _train(path, stop_after=2)
    path.write_bytes(path.read_bytes()[:-100])
    assert load_state(path) is None
    model, _, _ = _train(path)
    assert _equal(model, _train(None)[0])


def test_best_epoch_is_kept_and_patience_ends_training() -> None:
    values = iter([0.3, 0.8, 0.5, 0.6, 0.4, 0.4])
    states: list[dict[str, torch.Tensor]] = []
    settings = FitSettings(patience=2)
    body = Body()

    def score(_logits: NDArray[np.float64]) -> float:
        states.append({k: v.clone() for k, v in body.state_dict().items()})
        return next(values)

    model, trained, _ = _train(None, body=body, settings=settings, score=score)
    assert [e.tune_objective for e in trained.epochs] == [0.3, 0.8, 0.5, 0.6]
    assert all(torch.equal(value, states[1][key]) for key, value in model.body.state_dict().items())


def test_time_budget_ends_training_after_an_epoch_and_says_so() -> None:
    _, trained, told = _train(None, budget_s=1e-6)
    assert len(trained.epochs) == 1
    assert trained.notes == (f"the time budget ended training after epoch 1 of {EPOCHS}",)
    assert told[0].seconds_left == 0


def test_loss_that_is_no_number_once_halves_the_rate_and_always_ends_training() -> None:
    calls = [0]

    def once(batch: torch.Tensor) -> torch.Tensor:
        calls[0] += 1
        return batch * float("nan") if calls[0] == 5 else batch

    model, trained, _ = _train(None, inputs=Numbers(once))
    assert trained.notes == ("the loss was not a number in epoch 1: the rate was halved",)
    assert all(bool(torch.isfinite(value).all()) for value in model.state_dict().values())
    with pytest.raises(TrainingDiverged, match=r"at a rate of .* Set training\.fit\.learning_rate lower"):
        _train(None, inputs=Numbers(lambda batch: batch * float("nan")))


def test_number_lost_after_a_pause_goes_back_to_the_start_of_the_epoch_too(tmp_path: Path) -> None:
    def spoiled_at(number: int) -> Numbers:
        calls = [0]

        def spoil(batch: torch.Tensor) -> torch.Tensor:
            calls[0] += 1
            return batch * float("nan") if calls[0] == number else batch

        return Numbers(spoil)

    whole, expected, _ = _train(None, inputs=spoiled_at(6))
    with pytest.raises(TrainingStopped):
        _train(tmp_path / "s.safetensors", stop_after=4)
    model, trained, _ = _train(tmp_path / "s.safetensors", inputs=spoiled_at(2))
    assert _equal(model, whole)
    assert (trained.epochs, trained.notes) == (expected.epochs, expected.notes)


def test_infinite_loss_is_told_and_kept(tmp_path: Path) -> None:
    record = EpochRecord(epoch=0, train_loss=math.inf, tune_loss=math.nan, tune_objective=0.5)
    progress = EpochProgress(record=record, epochs=2, images_per_s=1.0, seconds_left=0.0)
    read = EpochProgress.model_validate_json(progress.model_dump_json())
    assert read.record.train_loss == math.inf
    save_state(tmp_path / "s", TrainingState(Place(plan=PLAN, losses=[math.inf], epochs=[record]), {}))
    state = load_state(tmp_path / "s")
    assert state is not None
    assert state.place.losses == [math.inf]
    assert math.isnan(state.place.epochs[0].tune_loss)


def test_where_memory_runs_out_fewer_rows_go_through_at_once() -> None:
    def check(most: int) -> Callable[[torch.Tensor], None]:
        def refuse(batch: torch.Tensor) -> None:
            if len(batch) > most and torch.is_grad_enabled():
                raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried 9 bytes")

        return refuse

    _, trained, _ = _train(None, body=Body(check(4)))
    # 22 rows in 3 steps are 8 and 7: 7 // 2 is 3 at once.
    assert trained.notes in (
        ("memory ran out in epoch 0: 4 pictures at once from then on",),
        ("memory ran out in epoch 0: 3 pictures at once from then on",),
    )
    with pytest.raises(MachineError, match="memory runs out with 2 pictures at a time"):
        _train(None, body=Body(check(1)))


def test_other_errors_are_not_taken_for_memory() -> None:
    def fail(batch: torch.Tensor) -> None:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="shapes"):
        _train(None, body=Body(fail))


def test_what_is_found_out_before_training_needs_no_more_memory_than_training() -> None:
    def refuse(batch: torch.Tensor) -> None:
        if len(batch) > 4 and torch.is_grad_enabled():
            raise MemoryError

    model = Classifier(Body(refuse), random_head(5, 2, 0.1, 0))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    inputs = Numbers()
    runtime = Runtime(torch.device("cpu"), None, 1e9, StopRequest(), lambda *_: None, no_epochs)
    settings = FitSettings(epochs=3, batch_rows=8, mixed_precision="off")
    plan = Probe(model, inputs, _goal(inputs), settings, 0, runtime, fine_tune=False).plan()
    assert (plan.epochs, plan.batch_rows) == (3, 8)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_where_memory_runs_out_in_evaluation_rows_are_halved_and_keep_their_order() -> None:
    def refuse(batch: torch.Tensor) -> None:
        if len(batch) > 5:
            raise MemoryError

    whole, halved = (
        outputs_of(body, lambda rows: Numbers().tune(rows, torch.device("cpu")), np.arange(ROWS))
        for body in (Body(), Body(refuse))
    )
    np.testing.assert_allclose(halved, whole, atol=1e-6)
