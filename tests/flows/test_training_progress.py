"""What is told of a training: to a sink, to a terminal, and to a real Prefect server."""

from __future__ import annotations

import base64
import logging
import math
from collections.abc import Callable
from uuid import UUID
from xml.etree import ElementTree

import pytest
from prefect import flow, task
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
from prefect.client.schemas.objects import Artifact
from prefect.runtime import flow_run

import tasks.training_progress
from flows.terminal import progress_bars
from models.artifacts.records import EpochRecord
from models.learning.progress import EpochProgress
from tasks.progress import progress_lines_to, progress_to
from tasks.training_progress import epoch_line, training_hooks


def _progress(epoch: int, epochs: int = 3) -> EpochProgress:
    record = EpochRecord(epoch=epoch, train_loss=0.4124, tune_loss=0.398, tune_objective=0.5 + epoch / 10)
    return EpochProgress(record=record, epochs=epochs, images_per_s=118.4, seconds_left=80.0 * (epochs - 1 - epoch))


def _learn(epochs: int, planned: int) -> None:
    with training_hooks("Some_Shapes", "macro_f1") as hooks:
        for epoch in range(epochs):
            hooks.on_progress(epoch + 1, planned)
            hooks.on_epoch(_progress(epoch, planned))
        if epochs < planned:
            raise ValueError("stopped")


@task(name="learn-a-little")
def learn_a_little(epochs: int, planned: int) -> None:
    """Three epochs of nothing, or fewer and an error."""
    _learn(epochs, planned)


@flow(name="learn-a-little-flow")
def learn_a_little_flow(epochs: int, planned: int) -> UUID:
    """Id of the run, whatever became of the training."""
    learn_a_little(epochs, planned, return_state=True)
    return UUID(str(flow_run.id))


def _artifacts(run_id: UUID) -> dict[str, Artifact]:
    wanted = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run_id]))
    with get_client(sync_client=True) as client:
        return {str(artifact.key): artifact for artifact in client.read_artifacts(artifact_filter=wanted)}


@pytest.mark.usefixtures("prefect_backend")
def test_run_keeps_its_share_done_and_its_curves() -> None:
    artifacts = _artifacts(learn_a_little_flow(3, 3))
    assert artifacts.keys() == {"training-some-shapes", "curve-some-shapes"}
    assert artifacts["training-some-shapes"].type == "progress"
    assert artifacts["training-some-shapes"].data == 100.0
    curve = artifacts["curve-some-shapes"]
    assert curve.type == "image"
    head, data = str(curve.data).split(",")
    assert head == "data:image/svg+xml;base64"
    picture = ElementTree.fromstring(base64.b64decode(data))
    assert "3 epochs; epoch 3 was kept" in str(picture.get("aria-label"))
    assert "tune macro_f1" in [element.text for element in picture.iter()]


@pytest.mark.usefixtures("prefect_backend")
def test_failed_training_leaves_how_far_it_came() -> None:
    artifacts = _artifacts(learn_a_little_flow(2, 4))
    assert artifacts["training-some-shapes"].data == 50.0
    assert "curve-some-shapes" in artifacts


@pytest.mark.usefixtures("prefect_backend")
def test_server_hears_of_quick_epochs_only_once_in_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    def heard(name: str) -> Callable[..., UUID]:
        def call(*_: object) -> UUID:
            calls.append(name)
            return UUID(int=1)

        return call

    for name in ("create_progress_artifact", "update_progress_artifact", "create_image_artifact"):
        monkeypatch.setattr(tasks.training_progress, name, heard(name))
    learn_a_little_flow(30, 30)
    assert calls == ["create_progress_artifact", "update_progress_artifact", "create_image_artifact"]


@pytest.mark.usefixtures("prefect_backend")
def test_server_that_refuses_is_told_of_once_and_training_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise ConnectionError("no artifact today")

    for name in ("create_progress_artifact", "create_image_artifact"):
        monkeypatch.setattr(tasks.training_progress, name, refuse)
    monkeypatch.setattr(tasks.training_progress, "SECONDS_BETWEEN_CALLS", 0.0)
    said: list[str] = []
    with caplog.at_level(logging.INFO), progress_lines_to(said.append):
        assert _artifacts(learn_a_little_flow(3, 3)) == {}
    assert len(said) == 3
    logged = [record.getMessage() for record in caplog.records]
    assert [line for line in logged if "no artifact today" in line] == [
        "Prefect takes no artifact of this training, which goes on: no artifact today"
    ]
    assert [line for line in logged if line.startswith("epoch ")] == said


def test_outside_of_a_run_only_the_sinks_hear(recwarn: pytest.WarningsRecorder) -> None:
    steps: list[tuple[str, int, int]] = []
    said: list[str] = []
    with progress_to(lambda *step: steps.append(step)), progress_lines_to(said.append):
        _learn(3, 3)
    _learn(3, 3)
    assert steps == [("train", 1, 3), ("train", 2, 3), ("train", 3, 3)]
    assert said[1] == "epoch 2/3  train loss 0.412  tune loss 0.398  tune macro_f1 0.600  118 images/s  1:20 left"
    assert not recwarn.list


def test_line_of_an_epoch_bears_times_and_losses_that_are_no_numbers() -> None:
    broken = _progress(0).record.model_copy(update={"tune_loss": math.inf})
    line = epoch_line(_progress(0).model_copy(update={"record": broken, "seconds_left": math.inf}), "macro_f1")
    assert "tune loss inf" in line
    assert line.endswith("0:00 left")


def test_log_gets_one_plain_line_an_epoch_on_the_error_stream(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bars() as sink, progress_to(sink):
        _learn(2, 2)
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines() == [epoch_line(_progress(epoch, 2), "macro_f1") for epoch in range(2)]
    _learn(1, 1)
    assert capsys.readouterr().err == "", "nobody listens behind the block"
