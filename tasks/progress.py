"""Where progress of a task goes: to whatever the caller has set up, and nowhere otherwise."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from models.parallel import OnProgress, ProgressSink

LineSink = Callable[[str], None]


def _nowhere(stage: str, done: int, total: int) -> None:
    """Drops progress."""


def _unsaid(line: str) -> None:
    """Drops a line."""


_sink: ContextVar[ProgressSink] = ContextVar("progress_sink", default=_nowhere)
_lines: ContextVar[LineSink] = ContextVar("progress_lines", default=_unsaid)


@contextmanager
def progress_to(sink: ProgressSink) -> Iterator[None]:
    """Sends the progress of all stages inside the block to `sink`."""
    token = _sink.set(sink)
    try:
        yield
    finally:
        _sink.reset(token)


def progress_of(stage: str) -> OnProgress:
    """A callback that reports (done, total) of a stage."""
    sink = _sink.get()
    return lambda done, total: sink(stage, done, total)


@contextmanager
def progress_lines_to(sink: LineSink) -> Iterator[None]:
    """Sends the lines that are told inside the block to `sink`."""
    token = _lines.set(sink)
    try:
        yield
    finally:
        _lines.reset(token)


def progress_lines() -> LineSink:
    """Where a line for a person goes."""
    return _lines.get()


def is_in_run() -> bool:
    """Whether this is a run of Prefect, whose server can be told."""
    # Commands that need no Prefect import this module, too.
    from prefect.context import get_run_context
    from prefect.exceptions import MissingContextError

    try:
        get_run_context()
    except MissingContextError:
        return False
    return True
