"""Starts processes that train one model together, and brings their checkpoint back."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pyarrow as pa
import torch

import models
from models.artifacts.durable import make_folder, write_durably
from models.artifacts.tables import encode_table
from models.errors import MachineError, TrainingStopped
from models.interruption import stop_on_signal
from models.learning.checkpoint import Checkpoint, decode_checkpoint
from models.learning.fit import Places, Subject
from models.learning.progress import EpochProgress, Hooks
from models.learning.rank_main import RankJob
from models.learning.training_settings import TrainingSettings
from models.parallel import usable_cores

_POLL_S = 0.5
_GRACE_S = 15
_SHOWN_LINES = 5
_log = logging.getLogger(__name__)


def process_count(settings: TrainingSettings) -> int:
    """Processes that train side by side: as many as the settings say, or one a GPU."""
    return settings.fit.processes or max(torch.cuda.device_count(), 1)


def fit_in_ranks(  # noqa: PLR0913, PLR0917 - what a lesson is made of, since every rank makes it anew
    folder: Path,
    split: pa.Table,
    plan: pa.Table,
    settings: TrainingSettings,
    subject: Subject,
    places: Places,
    hooks: Hooks,
) -> Checkpoint:
    """The checkpoint that several processes trained together.

    Raises:
        TrainingStopped: SIGTERM came, and they saved their state.
        MachineError: a process failed; its last lines are told.
    """
    make_folder(places.states_dir)
    with tempfile.TemporaryDirectory(dir=places.states_dir) as place:
        job_dir = Path(place)
        job = RankJob(
            folder=folder.absolute(),
            name=subject.name,
            data_sha256=subject.data_sha256,
            features_dir=places.features_dir,
            states_dir=places.states_dir,
            settings=settings,
            launcher_pid=os.getpid(),
        )
        write_durably(job_dir / "job.json", job.model_dump_json().encode())
        write_durably(job_dir / "split.parquet", encode_table(split))
        write_durably(job_dir / "plan.parquet", encode_table(plan))
        _run(job_dir, process_count(settings), hooks)
        return decode_checkpoint((job_dir / "checkpoint.safetensors").read_bytes())


def _run(job_dir: Path, count: int, hooks: Hooks) -> None:
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}"),
        *("-m", "models.learning.rank_main", str(job_dir)),
    ]
    root = str(Path(models.__file__).parents[1])
    environment = {
        **os.environ,
        "OMP_WAIT_POLICY": "PASSIVE",
        "OMP_NUM_THREADS": str(max(usable_cores() // count, 1)),
        "PYTHONPATH": os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])]),
    }
    errors = job_dir / "errors.txt"
    with stop_on_signal() as stop, errors.open("wb") as sink:
        # A session of its own, so that Ctrl-C reaches the ranks only through us.
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=sink, env=environment, start_new_session=True
        )
        try:
            for line in process.stdout or ():
                _tell(line, hooks)
                if stop.is_made:
                    break
        finally:
            if process.poll() is None and (stop.is_made or sys.exc_info()[0] is not None):
                process.send_signal(signal.SIGTERM)
            code = _wait(process)
    if code and (stop.is_made or b"TrainingStopped" in errors.read_bytes()):
        raise TrainingStopped(
            "training was asked to stop, and its state is saved", "it to go on some time", "Run the same command again."
        )
    if code:
        last = " ".join(errors.read_text(errors="replace").splitlines()[-_SHOWN_LINES:])
        raise MachineError(f"a training process ended with {code}: {last}", "0", "Set training.fit.processes=1.")


def _wait(process: subprocess.Popen[bytes]) -> int:
    try:
        return process.wait(_GRACE_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        return process.wait()


def _tell(line: bytes, hooks: Hooks) -> None:
    try:
        progress = EpochProgress.model_validate_json(line)
    except ValueError:
        _log.info("training says %r", line)
        return
    hooks.on_epoch(progress)
