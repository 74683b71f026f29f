"""One training as a process, without Prefect: FOLDER PLACE PROCESSES; says its epochs, leaves a checkpoint."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from models.artifacts.tables import encode_table
from models.data.resample import ResamplingSettings, plan_resampling
from models.learning.checkpoint import encode_checkpoint
from models.learning.fit import Places, Subject
from models.learning.learn import learn
from models.learning.progress import EpochProgress, Hooks
from models.learning.training_settings import FitSettings, TrainingSettings
from tests.chain import split_of

EPOCHS = 6


def main(folder: Path, place: Path, processes: int) -> None:
    """Trains; every number that a machine would measure is given, so that trainings can be compared bit for bit."""
    split = split_of(folder)
    fit = FitSettings(
        epochs=EPOCHS,
        batch_rows=16 // processes,
        learning_rate=3e-3,
        mixed_precision="off",
        checkpoint_seconds=0.1,
        processes=processes,
    )
    settings = TrainingSettings(network="convnet", size_px=64, fit=fit)
    subject = Subject("shapes", hashlib.sha256(encode_table(split)).hexdigest())
    places = Places(place / "features", place / "training")
    plan = plan_resampling(split, ResamplingSettings())
    checkpoint = learn(folder, split, plan, settings, subject, places, Hooks(on_epoch=_say))
    (place / "checkpoint.safetensors").write_bytes(encode_checkpoint(checkpoint))


def _say(progress: EpochProgress) -> None:
    sys.stderr.write(f"epoch {progress.record.epoch + 1}/{progress.epochs}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
