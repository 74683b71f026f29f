"""The process in which a foreign model is tried: `python -m models.serving.model_probe_worker`.

It reads one JSON line, the model and the pictures, and answers with one JSON line. It limits its own memory, and a
model that takes too long ends it by SIGALRM, which stops even a graph that never comes back to Python. Whoever started
it sees how it died.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np

from models.serving.session import ImageSession

READY = b"ready\n"
# More classes than any data set has; their numbers have to fit into one answer.
_MOST_CLASSES = 2**20


def main() -> None:
    """Answers once."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then ends this process
    # Native code that prints must not write into the answer.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    answers.write(READY)
    answers.flush()
    task = json.loads(sys.stdin.buffer.readline())
    signal.setitimer(signal.ITIMER_REAL, task["max_seconds"])
    _limit_memory(task["max_memory_bytes"])
    answer: dict[str, Any]
    try:
        answer = {"scores": _scores(task)}
    # onnxruntime's exceptions share no base class below Exception.
    except Exception as error:
        answer = {"refusal": f"{type(error).__name__}: {error}"}
    answers.write(json.dumps(answer).encode("ascii"))
    answers.flush()


def _scores(task: dict[str, Any]) -> list[list[float]]:
    """Probabilities of each picture."""
    onnx_bytes = sys.stdin.buffer.read(task["model_bytes"])
    pixels = np.frombuffer(sys.stdin.buffer.read(), np.uint8).reshape(task["shape"])
    if task["lint"] is not None:
        from models.serving.lint import LintLimits, lint_model  # noqa: PLC0415 - takes time

        lint_model(onnx_bytes, LintLimits.model_validate(task["lint"]))
    session = ImageSession(onnx_bytes)
    scores = [_checked(session.run(picture)) for picture in pixels]
    if len({len(row) for row in scores}) != 1:
        raise ValueError("the number of probabilities hangs on the picture")
    return scores


def _checked(outputs: dict[str, Any]) -> list[float]:
    probabilities = np.asarray(outputs["probabilities"])
    if probabilities.dtype != np.float32 or probabilities.ndim != 1 or not 0 < probabilities.size <= _MOST_CLASSES:
        raise ValueError(f"probabilities are {probabilities.dtype} of shape {probabilities.shape}, not (K,) float32")
    scores: list[float] = probabilities.tolist()
    return scores


def _limit_memory(more_bytes: int) -> None:
    """Lets this process grow by so much; what Python and its libraries already hold is not the model's."""
    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held + more_bytes,) * 2)


if __name__ == "__main__":
    main()
