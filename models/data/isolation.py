"""Worker processes that inspect files, so that a decoder's crash, a bomb or an endless file costs one row."""

from __future__ import annotations

import json
import logging
import os
import queue
import selectors
import signal
import subprocess
import sys
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Generic, NamedTuple, Self, TypeVar

from pydantic import Field

import models
from models.data.inspection import Header, Inspection, Request
from models.data.limits import DecodeLimits
from models.data.quality import Quality
from models.data.worker_loop import READY
from models.errors import MachineError
from models.parallel import usable_cores
from models.settings import Settings

_START_S = 120
_GRACE_S = 5.0
# A worker is replaced now and then: what a decoder leaks does not add up over a million files.
_FILES_A_WORKER = 50_000
# One thread a worker, and freed memory stays with it: asking the system anew for each picture is slow.
_ENVIRONMENT = {
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_MMAP_THRESHOLD_": "33554432",
    "MALLOC_TRIM_THRESHOLD_": "134217728",
}
_log = logging.getLogger(__name__)
Answer = TypeVar("Answer")


class IsolationSettings(Settings):
    """What one file may cost a worker process before it is given up."""

    workers: int = Field(default=0, ge=0, le=256, description="0: all cores this process may use.", title="Workers")
    max_seconds: float = Field(
        default=20, gt=0, le=3600, description="Longest time that one file may take.", title="Longest time"
    )
    max_memory_bytes: int = Field(
        default=900_000_000, ge=100_000_000, description="Most memory of one worker, in bytes.", title="Most memory"
    )

    @property
    def worker_count(self) -> int:
        """Workers that run side by side."""
        return self.workers or usable_cores()


class _Died(Exception):
    """A worker that ended or was ended before it answered."""

    def __init__(self, returncode: int | None) -> None:
        self.is_timeout = returncode is None or returncode == -signal.SIGALRM
        super().__init__(f"worker ended with {returncode}")


class Job(NamedTuple):
    """What the workers of a pool do: a module that serves, a folder, and what else they are told."""

    module: str
    folder: Path
    limits: DecodeLimits
    told: dict[str, Any]


class WorkerPool(ABC, Generic[Answer]):
    """Workers for the files of one folder; `ask` may be called from as many threads as there are workers."""

    def __init__(self, job: Job, isolation: IsolationSettings) -> None:
        self._module = job.module
        self._task = json.dumps(
            {
                "folder": os.fspath(job.folder),
                "limits": job.limits.model_dump(),
                "max_seconds": isolation.max_seconds,
                "max_memory_bytes": isolation.max_memory_bytes,
                **job.told,
            }
        )
        self._max_seconds = isolation.max_seconds
        self._idle: queue.SimpleQueue[_Worker | None] = queue.SimpleQueue()
        for _ in range(isolation.worker_count):
            self._idle.put(None)
        self._count = isolation.worker_count

    @abstractmethod
    def read(self, values: list[Any]) -> Answer:
        """An answer from what a worker said of one file."""

    @abstractmethod
    def lost(self, status: str, reason: str) -> Answer:
        """The answer for a file that a worker did not survive."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for _ in range(self._count):
            worker = self._idle.get()
            if worker is not None:
                worker.close()

    def ask(self, requests: Sequence[Request]) -> list[Answer]:
        """One answer a request, in their order.

        A worker that dies takes its unanswered files with it; they are then asked for one at a time, and the one
        that kills a worker again is `timeout` or `crashed`.

        Raises:
            MachineError: a worker does not start.
        """
        worker = self._idle.get()
        try:
            worker = worker or _Worker(self._module, self._task)
            try:
                return self._answers(worker, requests)
            except _Died as death:
                _log.info("a worker died over %d files: %s", len(requests), death)
                worker.close()
            found = []
            for request in requests:
                answer, worker = self._alone(request, worker)
                found.append(answer)
            return found
        finally:
            if worker is not None and worker.is_spent:
                worker.close()
                worker = None
            self._idle.put(worker)

    def _answers(self, worker: _Worker, requests: Sequence[Request]) -> list[Answer]:
        patience_s = self._max_seconds * len(requests) + _GRACE_S
        return [self.read(values) for values in worker.ask(requests, patience_s)]

    def _alone(self, request: Request, worker: _Worker) -> tuple[Answer, _Worker]:
        """Answer for one file, tried twice: the machine may have killed the first worker for its own reasons."""
        for _ in range(2):
            if worker.is_closed:
                worker = _Worker(self._module, self._task)
            try:
                return self._answers(worker, [request])[0], worker
            except _Died as death:
                worker.close()
                if death.is_timeout:
                    return self.lost("timeout", "too_slow"), worker
        return self.lost("crashed", "decoder_crashed"), worker


class InspectionPool(WorkerPool[Inspection]):
    """Workers that inspect files for a scan."""

    def __init__(self, folder: Path, limits: DecodeLimits, isolation: IsolationSettings) -> None:
        super().__init__(Job("models.data.inspection_worker", folder, limits, {}), isolation)

    def read(self, values: list[Any]) -> Inspection:
        """What a worker found."""
        status, reason, sha256, size_bytes, header, quality, sniffed = values
        return Inspection(
            status,
            reason,
            sha256,
            size_bytes,
            None if header is None else Header(*header),
            None if quality is None else Quality(*quality),
            sniffed,
        )

    def lost(self, status: str, reason: str) -> Inspection:
        """What is known of a file that no worker survived."""
        return Inspection(status, reason)


class _Worker:
    """One process and its pipes."""

    def __init__(self, module: str, task: str) -> None:
        # Not multiprocessing: that runs the caller's own script anew, and is refused inside daemon processes.
        root = str(Path(models.__file__).parents[1])
        search = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the worker
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", module, task],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env={**os.environ, **_ENVIRONMENT, "PYTHONPATH": search},
        )
        self.is_closed = False
        self._asked = 0
        try:
            self._answer(_START_S)
        except _Died as death:
            words = self._last_words()
            self.close()
            raise MachineError(
                f"a worker process does not start ({death}): {words}",
                "a Python that runs Sortline",
                "Run sortline doctor.",
            ) from death

    @property
    def is_spent(self) -> bool:
        """Whether it is to be replaced."""
        return self.is_closed or self._asked >= _FILES_A_WORKER

    def ask(self, requests: Sequence[Request], patience_s: float) -> list[list[Any]]:
        """What it says of some files."""
        if self._process.stdin is None:
            raise _Died(None)
        self._asked += len(requests)
        try:
            self._process.stdin.write(json.dumps(requests).encode("ascii") + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise _Died(self._process.wait()) from error
        found: list[list[Any]] = self._answer(patience_s)
        return found

    def close(self) -> None:
        """Ends the process."""
        if self.is_closed:
            return
        self.is_closed = True
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout, self._errors):
            if pipe is not None:
                _close_quietly(pipe)
        try:
            self._process.wait(_GRACE_S)
        # A process that waits for a dead disk cannot be killed; it is left behind.
        except subprocess.TimeoutExpired:
            _log.warning("worker %d does not end", self._process.pid)

    def _answer(self, patience_s: float) -> Any:
        """The next line that it says."""
        if self._process.stdout is None:
            raise _Died(None)
        with selectors.DefaultSelector() as ready:
            ready.register(self._process.stdout, selectors.EVENT_READ)
            if not ready.select(patience_s):
                raise _Died(None)
        line = self._process.stdout.readline()
        if not line.endswith(b"\n"):
            raise _Died(self._process.wait())
        answer = json.loads(line)
        return [] if answer == READY else answer

    def _last_words(self) -> str:
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").split("\n")
        return next((line for line in reversed(lines) if line.strip()), "it said nothing")


def _close_quietly(pipe: IO[bytes]) -> None:
    try:
        pipe.close()
    except BrokenPipeError:
        return
