"""A foreign model, tried in a process of its own: what it costs and what it answers, before anything relies on it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

import models
from models.artifacts.records import Task
from models.errors import MachineError, ShapeError, UnsafeModel
from models.serving.lint import LintLimits
from models.serving.model_probe_worker import READY
from models.serving.value_sizes import shown
from models.settings import Settings

_START_S = 120.0
_SUM_TOLERANCE = 1e-3
_RANGE_TOLERANCE = 1e-6
_ANSWER_TOLERANCE = 1e-4
_SHOWN_LETTERS = 400


class ProbeLimits(Settings):
    """What loading a model and scoring a few pictures may cost."""

    max_seconds: float = Field(default=60, gt=0, le=3600, description="Longest time, in seconds.", title="Longest time")
    max_memory_bytes: int = Field(
        default=2**32, ge=2**26, description="Most memory for the model, in bytes.", title="Most memory"
    )


PROBE_LIMITS = ProbeLimits()


def probe_model(
    onnx_bytes: bytes,
    pixels: NDArray[np.uint8],
    expected: NDArray[np.float32] | None,
    limits: ProbeLimits = PROBE_LIMITS,
    task: Task = "single_label",
    lint: LintLimits | None = None,
) -> None:
    """Refuses a model that crashes, takes too much, or does not answer with the probabilities it should.

    Args:
        onnx_bytes: the model.
        pixels: (N, H, W, 3) uint8, at least one picture; scored one at a time, as always.
        expected: (N, K) float32 in 0..1, what it answered where it was made; None where that is not known.
        limits: time and memory; the start of the process does not count.
        task: whether the probabilities of a picture sum to 1.
        lint: limits of `lint_model`, which then judges the file first and inside the same process; for files from
            strangers, since reading one can take a hundred times its bytes of memory.

    Raises:
        UnsafeModel: the process died or ran out of time or memory, or an answer is wrong.
        ShapeError: no pictures, or not of that shape.
        MachineError: the process does not start.
    """
    if pixels.ndim != 4 or pixels.dtype != np.uint8 or not len(pixels):
        raise ShapeError(
            f"pictures are {pixels.dtype} of shape {pixels.shape}", "(N, H, W, 3) uint8", "Give at least one picture."
        )
    header = {
        **limits.model_dump(),
        "model_bytes": len(onnx_bytes),
        "shape": pixels.shape,
        "lint": lint and lint.model_dump(),
    }
    answer = _answer(b"".join([json.dumps(header).encode("ascii"), b"\n", onnx_bytes, pixels.tobytes()]), limits)
    if "refusal" in answer:
        raise _unsafe(f"model does not run: {shown(answer['refusal'], _SHOWN_LETTERS)}")
    findings = list(_answer_findings(np.asarray(answer["scores"], np.float32), expected, task))
    if findings:
        raise _unsafe(f"model runs, but {'; '.join(findings)}")


def _answer(request: bytes, limits: ProbeLimits) -> dict[str, Any]:
    """What a new process says to a request."""
    root = str(Path(models.__file__).parents[1])
    search = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
    try:
        ended = subprocess.run(
            [sys.executable, "-P", "-m", "models.serving.model_probe_worker"],
            input=request,
            capture_output=True,
            check=False,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": search},
            timeout=_START_S + limits.max_seconds,
        )
    # The process ends itself in time; this is for one that hangs before or after.
    except subprocess.TimeoutExpired as error:
        said, words, code = error.stdout or b"", error.stderr or b"", -signal.SIGALRM
    else:
        said, words, code = ended.stdout, ended.stderr, ended.returncode
    if not said.startswith(READY):
        raise MachineError(
            f"the process that tries a model does not start: {_last_line(words)}",
            "a Python that runs Sortline",
            "Run sortline doctor.",
        )
    if code == -signal.SIGALRM:
        raise _unsafe(f"model takes longer than {limits.max_seconds:g} s")
    if code:
        name = signal.Signals(-code).name if code < 0 else f"code {code}"
        raise _unsafe(f"model ends its process with {name}: {_last_line(words)}")
    answer: dict[str, Any] = json.loads(said[len(READY) :])
    return answer


def _answer_findings(found: NDArray[np.float32], expected: NDArray[np.float32] | None, task: Task) -> Iterator[str]:
    """What is wrong with probabilities, (N, K)."""
    if not np.isfinite(found).all():
        yield "an answer is NaN or infinite"
        return
    if found.min(initial=0) < -_RANGE_TOLERANCE or found.max(initial=0) > 1 + _RANGE_TOLERANCE:
        yield f"probabilities go from {found.min():.6g} to {found.max():.6g}"
    off = np.abs(found.sum(1) - 1).max()
    if task == "single_label" and off > _SUM_TOLERANCE:
        yield f"the probabilities of a picture differ from a sum of 1 by {off:.2g}"
    if expected is None:
        return
    if expected.shape != found.shape:
        yield f"answers have the shape {found.shape}, not {expected.shape}"
    elif not (largest := np.abs(found - expected).max()) <= _ANSWER_TOLERANCE:  # so that NaN does not pass
        yield f"answers differ by up to {largest:.2g} from those where it was made"


def _unsafe(found: str) -> UnsafeModel:
    return UnsafeModel(
        found,
        "a model that answers with probabilities, within the time and memory it is given",
        "Do not use it; export the model anew with sortline.",
    )


def _last_line(words: bytes) -> str:
    lines = [line for line in words.decode(errors="replace").splitlines() if line.strip()]
    return shown(lines[-1], _SHOWN_LETTERS) if lines else "it said nothing"
