"""What a worker process does around its work: one line of JSON in, one out, under limits of memory and time.

A file that takes too long ends the process by SIGALRM, which stops even a decoder that never comes back to Python.
Whoever started it sees how it died.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import warnings
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from PIL import Image

from models.data.inspection import Request

READY = "ready"
_KEPT_BLOCKS = 8  # of 16 MB
# From the task, its limits, some files, and what is to be called before each of them: one answer a file.
Serve = Callable[[dict[str, Any], Any, list[Request], Callable[[], None]], list[Any]]


def serve(answer: Serve) -> None:
    """Serves until its input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then closes the input
    # Asking the system for every picture's memory anew costs a tenth of the time.
    Image.core.set_blocks_max(_KEPT_BLOCKS)  # type: ignore[attr-defined]
    warnings.simplefilter("ignore")  # odd metadata of hostile files; what matters becomes a row
    # Native code that prints must not write into the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(2, 1)
    task = json.loads(sys.argv[1])
    limits = SimpleNamespace(**task["limits"])
    max_seconds = float(task["max_seconds"])
    _say(answers, READY)
    # Only now: a limit that is too small for Python itself would look like a bad file.
    resource.setrlimit(resource.RLIMIT_DATA, (task["max_memory_bytes"],) * 2)
    for line in sys.stdin.buffer:
        requests = [Request(*values) for values in json.loads(line)]
        found = answer(task, limits, requests, lambda: _wake_after(max_seconds))
        _wake_after(0)
        _say(answers, found)


def _wake_after(seconds: float) -> None:
    """Ends this process by SIGALRM then; 0 calls that off."""
    signal.setitimer(signal.ITIMER_REAL, seconds)


def _say(answers: Any, value: object) -> None:
    answers.write(json.dumps(value) + "\n")
    answers.flush()
