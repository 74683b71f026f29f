"""What a person at a terminal sees: progress, tables, one sentence for an error; and what a shell gets."""

from __future__ import annotations

import atexit
import json
import os
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table
from typer.core import TyperGroup

from models.artifacts.durable import write_durably
from models.artifacts.workspace import Workspace
from models.errors import SortlineError
from models.parallel import ProgressSink
from tasks.progress import progress_lines_to

EXIT_UNEXPECTED = 70
EXIT_INTERRUPTED = 130

# Where a traceback goes; the folder that is opened first, the working directory before.
_crashes_dir: ContextVar[Path] = ContextVar("crashes_dir", default=Path("crashes"))
# A log has no width; rich would cut tables at 80 columns there.
_out = Console(width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else 200)
_err = Console(stderr=True)


@contextmanager
def progress_bars() -> Iterator[ProgressSink]:
    """A sink that draws one bar a stage on the error stream; on no terminal it draws nothing.

    Lines that tasks tell inside the block come above the bars; on no terminal they come alone: a log shows life.
    """
    columns = (TextColumn("{task.description:<26}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    bare = Progress(*columns, console=_err, transient=False, disable=not _err.is_terminal)
    with bare as progress, progress_lines_to(_say_aside):
        bars: dict[str, TaskID] = {}

        def sink(stage: str, done: int, total: int) -> None:
            if stage not in bars:
                bars[stage] = progress.add_task(stage, total=total)
            progress.update(bars[stage], completed=done, total=total)

        yield sink


def _say_aside(line: str) -> None:
    """One line on the error stream; bars that are drawn there stay below it."""
    _err.print(escape(line), highlight=False, soft_wrap=True)


def say(text: str) -> None:
    """One line on standard output; file names in it are shown as they are."""
    _out.print(escape(text), highlight=False, soft_wrap=True)


def show_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table on standard output."""
    table = Table(title=escape(title), title_justify="left", show_edge=False, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*map(escape, row))
    _out.print(table)


def print_json(answer: Mapping[str, Any]) -> None:
    """One JSON object on one line, for programs."""
    sys.stdout.write(json.dumps(answer, default=str) + "\n")


def open_workspace(root: Path) -> Workspace:
    """The workspace at `root`; from here on tracebacks of unexpected errors are kept in it."""
    workspace = Workspace.open(root)
    _crashes_dir.set(workspace.crashes_dir)
    return workspace


class SpokenGroup(TyperGroup):
    """Commands whose errors end as one sentence and an exit code, never as a traceback."""

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]
        """What the command gives."""
        try:
            return super().invoke(ctx)
        except (typer.Exit, typer.Abort, typer.TyperException):
            raise
        except BaseException as error:  # the last frame of a command
            raise typer.Exit(exit_code_of(error)) from error


def leave(code: int) -> NoReturn:
    """Ends the process as it was meant to end.

    About 1 of 150 short runs was aborted after its last line ("terminate called without an active exception"): native
    libraries take their threads down at exit, and that can fail when all is done and durable. So Python's own exit
    functions run, Prefect's among them, and the libraries' do not.
    """
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def exit_code_of(error: BaseException) -> int:
    """Exit code of an error, after saying it in one sentence; an unexpected one leaves its traceback in a file."""
    if isinstance(error, KeyboardInterrupt):
        return _refuse("interrupted; what was finished is kept. Run the same command again to go on.", EXIT_INTERRUPTED)
    if isinstance(error, SortlineError):
        return _refuse(str(error), error.exit_code)
    if isinstance(error, BrokenPipeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    path = _crashes_dir.get() / f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{os.getpid()}.txt"
    text = "".join(traceback.format_exception(error))
    try:
        write_durably(path, text.encode("utf-8", "backslashreplace"))
        where = f"The traceback is in {path}; please report it."
    except SortlineError:
        where = f"The traceback could not be kept: {text}"
    return _refuse(f"unexpected {type(error).__name__}: {error}. {where}", EXIT_UNEXPECTED)


def _refuse(sentence: str, code: int) -> int:
    _err.print(f"sortline: {escape(sentence)}", highlight=False, soft_wrap=True)
    return code
