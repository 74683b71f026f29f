"""Plans of one run: which open ones are finished, which are given up, and how new ones are frozen."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import NamedTuple

import pyarrow as pa

from models.artifacts.places import is_stored
from models.artifacts.tables import encode_table
from models.errors import SettingsError
from models.serving.commit import OutputStore
from models.serving.committer import committed_shards
from models.serving.known_files import KnownFiles, file_keys
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
        """Plans of this folder, bundle and settings that are not committed whole.

        Where two runs wrote at once, as in a store, one of them committed, and the other left a plan of the same files:
        that one is given up.
        """
        # Read once: what is committed from here on is of plans that were given, whose files are taken.
        commits, taken, known = self.store.commits(), set[bytes](), None
        for plan in self.store.plans.all():
            done = committed_shards(commits, plan)
            if not self._is_mine(plan) or len(done) == plan.shards:
                continue
            known = known or KnownFiles(self.store, self.bundle_sha256)
            left = self._left_of(plan, done)
            keys = set(file_keys(left))
            if keys & taken or known.is_known(left).any():
                self._give_up(plan, done)
                continue
            taken |= keys
            yield plan

    def drop_others(self) -> None:
        """Gives up open plans of another bundle, folder or settings: their files are planned anew.

        Their parts go first and for good; a plan without its parts only costs work, parts without a plan would lie
        beside the committed ones for ever.
        """
        commits = self.store.commits()
        for plan in self.store.plans.all():
            done = committed_shards(commits, plan)
            if len(done) < plan.shards and not self._is_mine(plan):
                self._give_up(plan, done)

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

    def _left_of(self, plan: Plan, done: set[int]) -> pa.Table:
        """Table PLANNED of the files whose shards are not committed."""
        inputs = self.store.plans.inputs(plan.plan_id)
        return pa.concat_tables([inputs.slice(*plan.slice_of(k)) for k in range(plan.shards) if k not in done])

    def _give_up(self, plan: Plan, done: set[int]) -> None:
        # In a store nobody holds the output: another run may be about to commit what it has written.
        is_shared = is_stored(self.store.out)
        if not is_shared:
            counted = {part.path for commit in self.store.commits() for part in commit.parts}
            self.store.remove_uncounted(plan, counted)
        if done or is_shared:
            self.store.plans.close(plan)
        else:
            self.store.plans.remove(plan)

    def _is_mine(self, plan: Plan) -> bool:
        same = (plan.folder, plan.bundle_sha256) == (self.folder, self.bundle_sha256)
        # Plans of before 0.3 do not say.
        return same and plan.settings_sha256 in ("", self.rows_digest)
