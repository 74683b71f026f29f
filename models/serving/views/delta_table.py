"""The predictions as a Delta table for those who read such: a second log beside our own, over the very same files.

It is a view. The commit log stays the truth, nothing here is needed to score, and Delta's own clean-up commands
(`vacuum`, `optimize`) must not be run on it: they know neither of parts that wait for their commit nor of our log.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from models.artifacts.durable import storage_errors, sync_folder
from models.artifacts.places import require_disk
from models.artifacts.tables import PREDICTIONS
from models.errors import SettingsError, StorageError
from models.serving.commit import OutputStore
from models.serving.commit_log import Part

_APP, _LOG = "sortline", "_delta_log"


class Published(NamedTuple):
    """What was published: the version of the Delta table, its files, and how many of them are new or gone."""

    version: int
    files: int
    added: int
    removed: int


def publish_delta(store: OutputStore) -> Published:
    """Brings the Delta table in the output's folder to what the commit log says.

    Publishing the same commits again changes nothing. deltalake does not sync what it writes; that is done here.

    Raises:
        SettingsError: the extra `delta` is not installed.
        StorageError: the table cannot be written or read.
        OutputBusy: a run holds the output.
    """
    if find_spec("deltalake") is None:
        raise SettingsError(
            "package deltalake is not installed", "the extra delta", "Run pip install 'sortline[delta]'."
        )
    require_disk(store.out, "to publish a Delta table beside its files")
    from deltalake import DeltaTable  # noqa: PLC0415 - only where it is asked for

    with store.hold(), _delta_errors(store.out):
        commits = store.commits()
        last = commits[-1].sequence if commits else 0
        wanted = {part.path: (part, _milliseconds(commit.at)) for commit, part in store.live()}
        added = removed = 0
        if not DeltaTable.is_deltatable(str(store.out)):
            added = len(wanted)
            _create(store.out, wanted, last)
        elif (DeltaTable(str(store.out)).transaction_version(_APP) or 0) < last:
            added, removed = _catch_up(store.out, wanted, last)
        _sync(store.out / _LOG)
        table = DeltaTable(str(store.out))
    return Published(table.version(), len(table.file_uris()), added, removed)


def _create(out: Path, wanted: dict[str, tuple[Part, int]], last: int) -> None:
    from deltalake.transaction import create_table_with_add_actions  # noqa: PLC0415

    adds = [_add(out, part, at_ms) for part, at_ms in wanted.values()]
    create_table_with_add_actions(
        str(out), _schema(), adds, "error", [], name="predictions", commit_properties=_upto(last)
    )


def _catch_up(out: Path, wanted: dict[str, tuple[Part, int]], last: int) -> tuple[int, int]:
    """Number of files that came and went."""
    from deltalake import DeltaTable  # noqa: PLC0415
    from deltalake.transaction import RemoveAction  # noqa: PLC0415

    table = DeltaTable(str(out))
    known = {os.path.relpath(uri, table.table_uri.removeprefix("file://")) for uri in table.file_uris()}
    adds = [_add(out, *wanted[path]) for path in wanted if path not in known]
    newest_ms = max((at_ms for _, at_ms in wanted.values()), default=0)
    # The rows go on in other files, or nobody asks for them any more.
    removes = [RemoveAction(path, True, newest_ms) for path in sorted(known - wanted.keys())]
    table.create_write_transaction([*removes, *adds], "append", _schema(), [], commit_properties=_upto(last))
    return len(adds), len(removes)


def _schema() -> Any:
    from deltalake import Schema  # noqa: PLC0415

    return Schema.from_arrow(PREDICTIONS)


def _add(out: Path, part: Part, at_ms: int) -> Any:
    from deltalake.transaction import AddAction  # noqa: PLC0415

    size = (out / part.path).stat().st_size
    return AddAction(part.path, size, {}, at_ms, True, json.dumps({"numRecords": part.rows}))


def _upto(sequence: int) -> Any:
    from deltalake import CommitProperties, Transaction  # noqa: PLC0415

    return CommitProperties(app_transactions=[Transaction(_APP, sequence)])


def _milliseconds(at: str) -> int:
    return int(datetime.fromisoformat(at).timestamp() * 1000)


def _sync(log: Path) -> None:
    """Makes Delta's log durable, which deltalake leaves to the system."""
    for path in log.iterdir():
        with storage_errors(path, "written"), path.open("rb") as file:
            os.fsync(file.fileno())
    sync_folder(log)
    sync_folder(log.parent)


@contextmanager
def _delta_errors(out: Path) -> Iterator[None]:
    """Turns deltalake's errors into one that says what to do; the log is a view, and can be made anew."""
    from deltalake.exceptions import DeltaError  # noqa: PLC0415

    try:
        yield
    except DeltaError as error:
        raise StorageError(
            f"the Delta table in {out} cannot be brought up to date ({error})",
            "a log that deltalake reads",
            f"Delete {out / _LOG} and publish again; the predictions are not touched.",
        ) from error
