"""One training that is killed at random moments, over and over, against the same training left alone.

Real processes of the command line and SIGKILL: a kill may hit the scan, training, export, or the end of all.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.digits import write_digits

KILLS = 20
_EPOCH = re.compile(r"epoch \d+")
# Every second kill waits for the first epoch that this process ends: most of the time is spent before.
MOST_SECONDS, MOST_SECONDS_OF_TRAINING = 30.0, 6.0
# All that a machine would measure is given, so that two trainings can be equal.
SETTINGS = (
    "training.network=convnet",
    "training.size_px=16",
    "training.augment.symmetries=none",
    "training.fit.epochs=60",
    "training.fit.patience=60",
    "training.fit.batch_rows=16",
    "training.fit.learning_rate=0.003",
    "training.fit.mixed_precision=off",
    "training.fit.checkpoint_seconds=1",
    "training.time_budget_minutes=600",
    "scan.near_duplicate_bits=-1",
)


def measure_kills(root: Path, seed: int = 0) -> dict[str, Any]:
    """How many kills hit what, and whether the weights are equal to those of the training left alone."""
    folder = write_digits(root / "digits", 1, seed)
    _run(folder, root / "alone", None)
    rng = np.random.default_rng(seed)
    hits: list[str] = []
    while len(hits) < KILLS:
        waits = len(hits) % 2 == 1
        seconds = float(rng.uniform(0, MOST_SECONDS_OF_TRAINING) if waits else rng.uniform(2, MOST_SECONDS))
        said = _run(folder, root / "killed", seconds, waits=waits)
        if said is None:
            break
        hits.append(said)
    _run(folder, root / "killed", None)
    digests = [_digest(root / name) for name in ("alone", "killed")]
    return {
        "kills": len(hits),
        "in_training": sum(hit.startswith("epoch") for hit in hits),
        "moments": hits,
        "equal_weights": digests[0] == digests[1],
    }


def _run(folder: Path, workspace: Path, kill_after_s: float | None, *, waits: bool = False) -> str | None:
    """What a killed run had come to; None where it ended by itself.

    Args:
        folder: the pictures.
        workspace: where it works.
        kill_after_s: when it is killed; None: never.
        waits: whether that counts from the first epoch that ends, or from the start.
    """
    command = [sys.executable, "-m", "flows.command_line", "train", str(folder), "--name", "digits"]
    command += ["--workspace", str(workspace), *(part for text in SETTINGS for part in ("--set", text))]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    timer = threading.Timer(kill_after_s, process.kill) if kill_after_s else None
    if timer and not waits:
        timer.start()
    lines: list[str] = []
    for line in process.stderr or ():
        lines.append(line)
        if timer and waits and _EPOCH.match(line) and not timer.is_alive():
            timer.start()
            waits = False
    code = process.wait()
    if timer:
        timer.cancel()
    if code == -9:
        epochs = [match[0] for line in lines if (match := _EPOCH.match(line))]
        return epochs[-1] if epochs else "before the first epoch of this process was over"
    # 1: trained and judged, and the model did not earn its place; the weights are what counts here.
    if code not in (0, 1):
        raise RuntimeError(f"exit code {code}: {''.join(lines[-5:])}")
    return None


def _digest(workspace: Path) -> str:
    (path,) = workspace.glob("artifacts/checkpoint/*.safetensors")
    return hashlib.sha256(path.read_bytes()).hexdigest()
