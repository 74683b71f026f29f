"""The chained commit log: the only truth about which parts of an output count."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from models.artifacts.durable import sha256_of, storage_errors, write_durably
from models.errors import ArtifactChanged, OutputBusy, SettingsError
from models.serving.session import Provider

NEWEST_FORMAT = 2


class Record(BaseModel):
    """A record of the output, frozen; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Part(Record):
    """One file of predictions.

    Attributes:
        path: relative to the output.
        rows: rows in it.
        shard: which shard of its plan it is; None in commits of before 0.3, and for merged parts.
        unchanged: files of its shard that have an earlier row of the very same bytes, and need no other.
        rows_by_status: of its rows; None in commits of before 0.3.
        again: rows that the machine is to blame for, whose files are tried again; None in commits of before 0.3.
    """

    path: str
    rows: int
    sha256: str
    shard: int | None = None
    unchanged: int = 0
    rows_by_status: dict[str, int] | None = None
    again: int | None = None

    @property
    def files(self) -> int:
        """Files of the plan that it accounts for."""
        return self.rows + self.unchanged


class Commit(Record):
    """One entry of the log: parts that count from here on, and parts that no longer do.

    Attributes:
        kind: `scored` adds shards of a plan; `compacted` puts merged parts in the place of others; `retired` removes.
        plan_id: the plan whose shards were added; empty where none was.
        plan_rows: files of that plan, whose shards may be spread over several commits; None before 0.3: all are here.
        removed: paths of parts that no longer count.
    """

    sequence: int = 0  # given by the log, as are the next and `format`
    prev_sha256: str = ""
    plan_id: str
    folder: str
    model_name: str
    bundle_sha256: str
    run_id: str
    at: str
    parts: tuple[Part, ...]
    elapsed_s: float
    images_per_s: float
    provider: Provider = "cpu"
    kind: str = "scored"
    plan_rows: int | None = None
    removed: tuple[str, ...] = ()
    format: int = 1


class Deed(NamedTuple):
    """Which call changes parts without scoring, and when, as ISO 8601 in UTC."""

    run_id: str
    at: str

    def commit(self, kind: str, like: Commit, parts: tuple[Part, ...], removed: tuple[str, ...]) -> Commit:
        """A commit that puts some parts in the place of others, of the model and folder of an earlier one."""
        return Commit(
            kind=kind,
            plan_id="",
            folder=like.folder,
            model_name=like.model_name,
            bundle_sha256=like.bundle_sha256,
            run_id=self.run_id,
            at=self.at,
            parts=parts,
            removed=removed,
            elapsed_s=0,
            images_per_s=0,
            provider=like.provider,
        )


class Head(NamedTuple):
    """Where the log ended when a run began: a commit that comes in between means that the run is no longer alone.

    Attributes:
        sequence: of the newest commit; 0 before the first.
        sha256: of its file; empty before the first.
    """

    sequence: int
    sha256: str


class CommitLog:
    """The log below an output's folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self) -> list[Commit]:
        """All commits, oldest first.

        Raises:
            ArtifactChanged: the chain is broken.
            SettingsError: a newer version of Sortline wrote it.
        """
        found: list[Commit] = []
        prev = ""
        for path in self._paths():
            with storage_errors(path, "read"):
                data = path.read_bytes()
            commit = self._parsed(path, data)
            if commit.prev_sha256 != prev or commit.sequence != len(found) + 1:
                raise broken(path)
            prev = hashlib.sha256(data).hexdigest()
            found.append(commit)
        return found

    def append(self, commit: Commit, head: Head) -> Head:
        """Adds a commit behind `head`, and gives the new end of the log; only then does what it says count.

        Raises:
            OutputBusy: another run took its place in the log, and what this one found is no longer so.
        """
        path = self.folder / f"{head.sequence + 1:012}.json"
        placed = {"sequence": head.sequence + 1, "prev_sha256": head.sha256, "format": NEWEST_FORMAT}
        text = commit.model_copy(update=placed).model_dump_json(indent=1).encode()
        try:
            write_durably(path, text, exclusive=True)
        except FileExistsError as error:
            raise OutputBusy(
                f"another run has committed {path} meanwhile", "one run at a time", "Run the same command again."
            ) from error
        return Head(head.sequence + 1, hashlib.sha256(text).hexdigest())

    def head(self) -> Head:
        """Where the log ends now."""
        return Head(len(self._paths()), self.last_digest())

    def last_digest(self) -> str:
        """sha256 of the newest commit; empty before the first."""
        paths = self._paths()
        return sha256_of(paths[-1]) if paths else ""

    def _paths(self) -> list[Path]:
        return sorted(self.folder.glob("[0-9]*.json"))

    def _parsed(self, path: Path, data: bytes) -> Commit:
        try:
            commit = Commit.model_validate_json(data)
        except ValidationError as error:
            if any(found["type"] == "extra_forbidden" for found in error.errors()):
                raise _newer(path) from error
            raise broken(path) from error
        if commit.format > NEWEST_FORMAT:
            raise _newer(path)
        return commit


def live_parts(commits: list[Commit]) -> list[tuple[Commit, Part]]:
    """Parts that count, with the commit that added them, oldest rows first.

    Merged parts stand where the first of those that they replace stood.
    """
    live: list[tuple[Commit, Part]] = []
    for commit in commits:
        added = [(commit, part) for part in commit.parts]
        gone = set(commit.removed)
        at = next((k for k, (_, part) in enumerate(live) if part.path in gone), len(live))
        kept_after = [entry for entry in live[at:] if entry[1].path not in gone]
        live = [*live[:at], *added, *kept_after]
    return live


def _newer(path: Path) -> SettingsError:
    return SettingsError(
        f"{path} is of a format that this version does not know",
        f"a log of format {NEWEST_FORMAT} or older",
        "Use the Sortline version that wrote it, or a newer one.",
    )


def broken(path: Path) -> ArtifactChanged:
    """The error for a file of an output that is not what was committed."""
    return ArtifactChanged(
        f"{path} is not what was committed", "an unaltered output", "Restore it, or score into a new folder."
    )
