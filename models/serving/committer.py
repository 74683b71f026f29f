"""When finished parts are committed: once their plan is whole, every few minutes, and when a run is told to stop."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from models.errors import ContractBroken
from models.serving.commit import OutputStore
from models.serving.commit_log import Commit, Head, Part
from models.serving.engine import Shard
from models.serving.plans import Plan
from models.serving.session import Provider


class Committing(NamedTuple):
    """Who commits: where the log ended when the run began, the model, the run, and what ran the model."""

    head: Head
    model_name: str
    run_id: str
    provider: Provider
    clock: Callable[[], datetime]


class Committer:
    """The parts of one run that wait to be committed."""

    def __init__(self, store: OutputStore, committing: Committing, commit_seconds: float) -> None:
        self._store, self._committing, self._commit_seconds = store, committing, commit_seconds
        self._head = committing.head
        # A plan is asked about before the first of its shards is committed here, so that what was there before is all.
        self._before = store.commits()
        self._lock = threading.Lock()
        self._waiting: dict[str, tuple[Plan, list[Part]]] = {}
        self._committed: dict[str, int] = {}
        self._scored, self._last = 0, time.monotonic()

    def missing(self, plan: Plan) -> list[int]:
        """Shards of a plan that are neither committed nor on disk; those on disk are committed with the others."""
        done = committed_shards(self._before, plan)
        self._committed[plan.plan_id] = len(done)
        found = {k for k in set(range(plan.shards)) - done if self._store.part_path(plan, k).exists()}
        for number in sorted(found):
            self._keep(plan, self._store.part(self._store.part_path(plan, number), number))
        return sorted(set(range(plan.shards)) - done - found)

    def shards(self, plan: Plan, numbers: Sequence[int]) -> Iterator[Shard]:
        """Some shards of a plan, with their files."""
        rows = self._store.plans.inputs(plan.plan_id)
        for number in numbers:
            first, count = plan.slice_of(number)
            yield Shard(plan, number, first, rows.slice(first, count).to_pylist())

    def add(self, shard: Shard, part: Part) -> None:
        """Takes a part that was scored now, and commits where it is time."""
        self._keep(shard.plan, part)
        self._scored += part.files
        waiting = len(self._waiting[shard.plan.plan_id][1])
        is_whole = self._committed[shard.plan.plan_id] + waiting == shard.plan.shards
        if is_whole or time.monotonic() - self._last >= self._commit_seconds:
            self.commit_finished()

    def commit_finished(self) -> None:
        """Commits every part that waits."""
        with self._lock:
            waiting, self._waiting = self._waiting, {}
        for plan, parts in waiting.values():
            self._commit(plan, sorted(parts, key=lambda part: part.path))
            self._committed[plan.plan_id] += len(parts)

    def _keep(self, plan: Plan, part: Part) -> None:
        if part.shard is None or part.files != plan.slice_of(part.shard)[1]:
            raise ContractBroken(
                f"{part.path} accounts for {part.files} files",
                "one row for every file of its shard",
                "Delete it and run the same command again; nothing of it was committed.",
            )
        with self._lock:
            self._waiting.setdefault(plan.plan_id, (plan, []))[1].append(part)

    def _commit(self, plan: Plan, parts: Sequence[Part]) -> None:
        now = time.monotonic()
        elapsed_s, scored = now - self._last, self._scored
        self._last, self._scored = now, 0
        commit = Commit(
            plan_id=plan.plan_id,
            folder=plan.folder,
            model_name=self._committing.model_name,
            bundle_sha256=plan.bundle_sha256,
            run_id=self._committing.run_id,
            at=self._committing.clock().isoformat(),
            parts=tuple(parts),
            elapsed_s=elapsed_s,
            images_per_s=scored / elapsed_s if elapsed_s else 0.0,
            provider=self._committing.provider,
            plan_rows=plan.rows,
        )
        self._head = self._store.log.append(commit, self._head)


def committed_shards(commits: Sequence[Commit], plan: Plan) -> set[int]:
    """Shards of a plan that were committed, whatever became of their parts since."""
    mine = [commit for commit in commits if commit.plan_id == plan.plan_id and commit.kind == "scored"]
    if any(commit.plan_rows is None for commit in mine):
        return set(range(plan.shards))
    return {part.shard for commit in mine for part in commit.parts if part.shard is not None}
