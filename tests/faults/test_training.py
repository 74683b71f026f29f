"""Training under real signals: SIGTERM saves and stops soon, a kill loses nothing that counts, ranks train together."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from models.learning.checkpoint import Checkpoint, decode_checkpoint
from tests.faults.training_process import EPOCHS
from tests.pictures import write_labelled

pytestmark = pytest.mark.faults
STOPS_WITHIN_S = 10


def _start(*arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=os.environ)


def _train(folder: Path, place: Path, processes: int = 1) -> subprocess.Popen[str]:
    return _start("tests.faults.training_process", folder, place, processes)


def _start_command(folder: Path, workspace: Path) -> subprocess.Popen[str]:
    sets = ("network=convnet", "size_px=64", f"fit.epochs={EPOCHS}", "fit.learning_rate=0.003", "fit.batch_rows=8")
    wishes = [part for text in sets for part in ("--set", f"training.{text}")]
    return _start("flows.command_line", "train", folder, "--name", "shapes", "--workspace", workspace, *wishes)


def _wait_for(process: subprocess.Popen[str], text: str) -> None:
    said = []
    for line in process.stderr or ():
        said.append(line)
        if text in line:
            return
    pytest.fail(f"{text!r} was never said, but {said}")


def _end(process: subprocess.Popen[str], code: int = 0) -> str:
    _, errors = process.communicate(timeout=300)
    assert process.returncode == code, errors
    return errors


def _stop(process: subprocess.Popen[str]) -> str:
    """Sends SIGTERM; what it says until it is gone, which is soon."""
    process.send_signal(signal.SIGTERM)
    asked_at = time.monotonic()
    _, errors = process.communicate(timeout=60)
    assert time.monotonic() - asked_at < STOPS_WITHIN_S
    return errors


def _checkpoint(place: Path) -> Checkpoint:
    return decode_checkpoint((place / "checkpoint.safetensors").read_bytes())


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """130 pictures of three classes."""
    return write_labelled(tmp_path_factory.mktemp("pictures"), {"down": 60, "round": 40, "side": 30})


def test_command_that_is_told_to_stop_says_how_to_go_on(pictures: Path, tmp_path: Path) -> None:
    process = _start_command(pictures, tmp_path)
    _wait_for(process, "epoch 2/")
    said = _stop(process)
    assert process.returncode == 143, said
    assert "its state is saved" in said
    assert "Run the same command again: it goes on from there." in said
    assert list(tmp_path.glob("training/*.safetensors"))


def test_command_that_is_killed_leaves_no_server(pictures: Path, tmp_path: Path) -> None:
    process = _start_command(pictures, tmp_path)
    _wait_for(process, "epoch 1/")
    process.kill()
    # What a process below it still held would keep this from ending.
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL


@pytest.mark.parametrize("processes", [1, 2])
def test_training_that_is_stopped_and_killed_ends_with_the_same_weights(
    pictures: Path, tmp_path: Path, processes: int
) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    _end(_train(pictures, whole, processes))
    told = _train(pictures, broken, processes)
    _wait_for(told, "epoch 2/")
    _stop(told)
    killed = _train(pictures, broken, processes)
    _wait_for(killed, "epoch 4/")
    killed.kill()
    _end(killed, code=-signal.SIGKILL)
    _end(_train(pictures, broken, processes))
    assert (broken / "checkpoint.safetensors").read_bytes() == (whole / "checkpoint.safetensors").read_bytes()


def test_two_processes_learn_what_one_does(pictures: Path, tmp_path: Path) -> None:
    _end(_train(pictures, tmp_path / "one"))
    _end(_train(pictures, tmp_path / "two", 2))
    one, two = _checkpoint(tmp_path / "one"), _checkpoint(tmp_path / "two")
    assert len(two.card.epochs) == EPOCHS
    assert two.card.tune_objective is not None
    assert two.card.tune_objective > 0.9
    assert {name: t.shape for name, t in two.trunk.items()} == {name: t.shape for name, t in one.trunk.items()}
    assert all(np.isfinite(weight).all() for weight, _ in two.layers)
