"""Plans of one run: which open ones are finished, which are given up, and how new ones are frozen."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import NamedTuple

import pyarrow as pa

from models.artifacts.tables import encode_table
from models.errors import SettingsError
from models.serving.commit import OutputStore
from models.serving.committer import committed_shards
from models.serving.plans import PLANNED, Plan


class PlanDesk(NamedTuple):
    """What decides whose a plan is.

    Attributes:
        store: holds the plans.
        folder: that is scored, as text.
        bundle_sha256: that scores.
        rows_digest: of the settings that decide how rows look.
        shard_rows: files of a shard of new plans.
    """

    store: OutputStore
    folder: str
    bundle_sha256: str
    rows_digest: str
    shard_rows: int

    def require_same_folder(self) -> None:
        """Refuses an output that holds another folder's rows: paths are relative, and would be mixed up.

        Raises:
            SettingsError: naming the other folder.
        """
        others = {commit.folder for commit in self.store.commits()} - {self.folder}
        if others:
            raise SettingsError(
                f"{self.store.out} holds the predictions of {min(others)}",
                f"an output of its own for {self.folder}",
                "Choose another --out, or score the folder above both.",
            )

    def open_plans(self) -> Iterator[Plan]:
        """Plans of this folder, bundle and settings that are not committed whole."""
        commits = self.store.commits()
        for plan in self.store.plans.all():
            if self._is_mine(plan) and len(committed_shards(commits, plan)) < plan.shards:
                yield plan

    def drop_others(self) -> None:
        """Gives up open plans of another bundle, folder or settings: their files are planned anew.

        Their parts go first and for good; a plan without its parts only costs work, parts without a plan would lie
        beside the committed ones for ever.
        """
        commits = self.store.commits()
        counted = {part.path for commit in commits for part in commit.parts}
        for plan in self.store.plans.all():
            done = committed_shards(commits, plan)
            if len(done) == plan.shards or self._is_mine(plan):
                continue
            self.store.remove_uncounted(plan, counted)
            if done:
                self.store.plans.close(plan)
            else:
                self.store.plans.remove(plan)

    def freeze(self, listed: pa.Table, known_sha256: list[str | None]) -> Plan:
        """A plan of listed files, whole on disk; equal files after the same commit give the same plan."""
        files = listed.append_column("known_sha256", pa.array(known_sha256, pa.string())).cast(PLANNED)
        inputs = encode_table(files)
        digest = hashlib.sha256(inputs).hexdigest()
        decides = (self.store.log.last_digest(), self.bundle_sha256, self.rows_digest, self.folder)
        wish = ":".join((*decides, str(self.shard_rows), digest))
        plan = Plan(
            plan_id=hashlib.sha256(wish.encode()).hexdigest()[:16],
            folder=self.folder,
            bundle_sha256=self.bundle_sha256,
            shard_rows=self.shard_rows,
            rows=files.num_rows,
            inputs_sha256=digest,
            settings_sha256=self.rows_digest,
        )
        self.store.plans.write(plan, inputs)
        return plan

    def _is_mine(self, plan: Plan) -> bool:
        same = (plan.folder, plan.bundle_sha256) == (self.folder, self.bundle_sha256)
        # Plans of before 0.3 do not say.
        return same and plan.settings_sha256 in ("", self.rows_digest)
