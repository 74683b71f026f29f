"""One of several processes that train together, as `models.learning.launch` starts them by torchrun."""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

from pydantic import BaseModel, ConfigDict
from torch import distributed

from models.artifacts.durable import write_durably
from models.artifacts.tables import RESAMPLE_PLAN, SPLIT, decode_table
from models.learning.checkpoint import encode_checkpoint
from models.learning.fit import Places, Subject, fit_classifier
from models.learning.lesson import prepare_lesson
from models.learning.progress import EpochProgress, Hooks
from models.learning.ranks import join_world
from models.learning.training_settings import TrainingSettings

_WATCH_S = 0.5


class RankJob(BaseModel):
    """What every rank is told; the split and the plan lie beside it as split.parquet and plan.parquet."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: Path
    name: str
    data_sha256: str
    features_dir: Path
    states_dir: Path
    settings: TrainingSettings
    launcher_pid: int


def main(job_dir: Path) -> None:
    """Trains as one rank; rank 0 leaves the checkpoint in the job's folder."""
    job = RankJob.model_validate_json((job_dir / "job.json").read_bytes())
    split = decode_table((job_dir / "split.parquet").read_bytes(), SPLIT)
    plan = decode_table((job_dir / "plan.parquet").read_bytes(), RESAMPLE_PLAN)
    threading.Thread(target=_end_with, args=(job.launcher_pid,), daemon=True).start()
    world = join_world()
    lesson = prepare_lesson(job.folder, split, plan, job.settings)
    hooks = Hooks(on_epoch=_say) if world.rank == 0 else Hooks()
    places = Places(job.features_dir, job.states_dir)
    checkpoint = fit_classifier(lesson, Subject(job.name, job.data_sha256), places, hooks, world)
    if world.rank == 0:
        write_durably(job_dir / "checkpoint.safetensors", encode_checkpoint(checkpoint))
    world.wait()
    distributed.destroy_process_group()


def _end_with(launcher_pid: int) -> None:
    """Ends this rank when whoever started it was killed: the next run must not find it still training."""
    while True:
        time.sleep(_WATCH_S)
        try:
            os.kill(launcher_pid, 0)
        except ProcessLookupError:
            os._exit(1)


def _say(progress: EpochProgress) -> None:
    """One line of JSON an epoch, for whoever started the ranks."""
    sys.stdout.write(progress.model_dump_json() + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
