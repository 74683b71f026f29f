"""Whether an output may be believed: its log, every part, every plan, and on request the pictures themselves."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from models.artifacts.durable import sha256_of
from models.artifacts.places import is_stored
from models.data.decode import read_file
from models.data.listing import file_name
from models.errors import SortlineError, UnreadableImage
from models.parallel import OnProgress, map_in_threads, no_progress
from models.serving.commit import OutputStore
from models.serving.commit_log import Commit
from models.serving.committer import committed_shards
from models.serving.known_files import name_keys
from models.serving.verify import Checked

_SHOWN = 3
_MOST_BYTES = 1 << 40


class _Wrong(SortlineError):
    """What a check found."""

    def __init__(self, found: str) -> None:
        Exception.__init__(self, found)


def verify_output(
    store: OutputStore, folder: Path | None = None, on_progress: OnProgress = no_progress
) -> list[Checked]:
    """Every check on an output; it is only read.

    Args:
        store: the output.
        folder: of the pictures, which are read again; None: they are not looked at.
        on_progress: told how many pictures were read.
    """
    checks: list[tuple[str, Callable[[], str]]] = [
        ("commit log", lambda: f"{len(store.commits())} commits, each names the one before"),
        ("parts", lambda: _parts(store)),
        ("plans", lambda: _plans(store)),
        ("one row a file", lambda: _rows(store)),
        ("nothing else", lambda: _strangers(store)),
    ]
    if folder is not None:
        checks.append(("pictures", lambda: _pictures(store, folder, on_progress)))
    found: list[Checked] = []
    for name, check in checks:
        try:
            found.append(Checked(name, True, check()))
        except SortlineError as error:
            found.append(Checked(name, False, str(error)))
            if name == "commit log":
                break
    return found


def _parts(store: OutputStore) -> str:
    """Every part that counts has its bytes and its rows."""
    rows = parts = 0
    wrong = []
    for _, part in store.live():
        parts += 1
        table = store.checked(part)
        rows += table.num_rows
        counted = dict(sorted(Counter(table["status"].to_pylist()).items()))
        if table.num_rows != part.rows or part.rows_by_status not in (None, counted):
            wrong.append(part.path)
    _refuse(wrong, "parts with other rows than their commit says")
    return f"{parts} parts with {rows} rows as they were committed"


def _plans(store: OutputStore) -> str:
    """Every plan that a commit names is as it was frozen, and every file of a committed shard is accounted for."""
    wrong, files = [], 0
    for commit in _scored(store):
        plan = store.plans.get(commit.plan_id)
        rows = store.plans.inputs(commit.plan_id).num_rows
        if commit.plan_rows is None:
            accounted = sum(part.files for part in commit.parts)
            wrong += [commit.plan_id] if accounted != rows else []
        else:
            shards = [(part.files, part.shard) for part in commit.parts]
            wrong += [commit.plan_id for n, shard in shards if shard is None or n != plan.slice_of(shard)[1]]
        files += sum(part.files for part in commit.parts)
    _refuse(sorted(set(wrong)), "plans of which a file has no row")
    whole = [plan for plan in store.plans.all() if len(committed_shards(store.commits(), plan)) == plan.shards]
    return f"{files} files of {len(whole)} whole plans accounted for"


def _rows(store: OutputStore) -> str:
    """No two rows are about the same path, bytes and model."""
    seen: set[tuple[bytes, str, str]] = set()
    doubled = []
    for table in store.tables(columns=["path", "path_bytes", "sha256", "bundle_sha256"]):
        digests, bundles = table["sha256"].to_pylist(), table["bundle_sha256"].to_pylist()
        for k, key in enumerate(name_keys(table)):
            if digests[k] is None:
                continue
            entry = (key, digests[k], bundles[k])
            doubled += [table["path"][k].as_py()] if entry in seen else []
            seen.add(entry)
    _refuse(doubled, "rows of the same path, bytes and model")
    return f"{len(seen)} pairs of path and bytes, each once a model"


def _strangers(store: OutputStore) -> str:
    """No part lies in the output that neither a commit nor an open plan names."""
    there = set(store.names("data/**/*.parquet"))
    known = {part.path for _, part in store.live()}
    commits = store.commits()
    unfinished = [plan for plan in store.plans.all() if len(committed_shards(commits, plan)) < plan.shards]
    waiting = {store.name_of(store.part_path(plan, k)) for plan in unfinished for k in range(plan.shards)}
    _refuse(sorted(there - known - waiting), "files of predictions that no commit names")
    left = sum(plan.rows for plan in unfinished)
    return f"{len(unfinished)} open plans with {left} files" if unfinished else "no open plan"


def _pictures(store: OutputStore, folder: Path, on_progress: OnProgress) -> str:
    """The pictures of the newest rows have the bytes that were scored; those that changed since are counted."""
    outcomes: Counter[str] = Counter()
    differing = []
    compared = partial(_compared_object if is_stored(folder) else _compared, folder)
    for done, (path, outcome) in enumerate(map_in_threads(compared, _newest(store))):
        outcomes[outcome] += 1
        differing += [path] if outcome == "other bytes, same size and time" else []
        on_progress(done + 1, done + 1)
    _refuse(differing, "pictures that are not what was scored, with the size and time that they had then")
    return ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items())) or "no row with bytes"


def _newest(store: OutputStore) -> Iterator[dict[str, object]]:
    """The newest row of every path that has one with a digest, with the time that its file had in its plan."""
    seen: set[bytes] = set()
    times: dict[str, dict[bytes, int]] = {}
    columns = ["path", "path_bytes", "sha256", "size_bytes", "plan_id"]
    for table in store.tables(columns=columns, newest_first=True):
        for key, row in zip(reversed(name_keys(table)), reversed(table.to_pylist()), strict=True):
            if key in seen:
                continue
            seen.add(key)
            if row["plan_id"] not in times:
                inputs = store.plans.inputs(row["plan_id"])
                times = {row["plan_id"]: dict(zip(name_keys(inputs), inputs["mtime_ns"].to_pylist(), strict=True))}
            if row["sha256"] is not None:
                yield {**row, "mtime_ns": times[row["plan_id"]][key]}


def _compared(folder: Path, row: dict[str, object]) -> tuple[str, str]:
    path = Path(os.path.join(folder, file_name(row)))  # noqa: PTH118 - keeps surrogates
    try:
        now = path.lstat()
        digest = sha256_of(path)
    except OSError:
        return str(row["path"]), "gone or unreadable since"
    if digest == row["sha256"]:
        return str(row["path"]), "unchanged"
    same = (now.st_size, now.st_mtime_ns) == (row["size_bytes"], row["mtime_ns"])
    return str(row["path"]), "other bytes, same size and time" if same else "changed since"


def _compared_object(folder: Path, row: dict[str, object]) -> tuple[str, str]:
    try:
        data = read_file(folder / file_name(row), _MOST_BYTES)
    except UnreadableImage:
        return str(row["path"]), "gone or unreadable since"
    is_same = hashlib.sha256(data).hexdigest() == row["sha256"]
    return str(row["path"]), "unchanged" if is_same else "changed since"


def _scored(store: OutputStore) -> list[Commit]:
    return [commit for commit in store.commits() if commit.kind == "scored"]


def _refuse(items: list[str], what: str) -> None:
    if items:
        raise _Wrong(f"{len(items)} {what}: {', '.join(items[:_SHOWN])}")
