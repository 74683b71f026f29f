"""Sealed artifacts: a file named by its digest, and the typed address that travels between tasks."""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict

from models.artifacts.durable import (
    TEMPORARY_PREFIX,
    make_folder,
    sha256_of,
    storage_errors,
    sync_folder,
    write_durably,
)
from models.artifacts.workspace import Workspace
from models.errors import ArtifactChanged, ArtifactMissing

ARTIFACT_NAME_LENGTH = 20
Record = TypeVar("Record", bound=BaseModel)


class ArtifactRef(BaseModel):
    """Address of a sealed file.

    Attributes:
        kind: what it is, as in `manifest`.
        path: where it lies.
        sha256: digest of its bytes.
        rows: its number of rows, or of entries.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str
    path: Path
    sha256: str
    rows: int

    def is_intact(self) -> bool:
        """Whether the file is still there with the sealed bytes."""
        return self.path.is_file() and sha256_of(self.path) == self.sha256


def seal(workspace: Workspace, kind: str, data: bytes, *, suffix: str, rows: int) -> ArtifactRef:
    """Address of `data`, written under its own digest; writing the same bytes again changes nothing."""
    digest = hashlib.sha256(data).hexdigest()
    path = workspace.artifact_dir(kind) / f"{digest[:ARTIFACT_NAME_LENGTH]}{suffix}"
    ref = ArtifactRef(kind=kind, path=path, sha256=digest, rows=rows)
    if not ref.is_intact():
        write_durably(path, data)
    return ref


def seal_file(workspace: Workspace, kind: str, write: Callable[[Path], int], *, suffix: str) -> ArtifactRef:
    """Address of what `write` puts into the path it is given; it gives the number of rows.

    For what is too large to be held in memory.
    """
    folder = workspace.artifact_dir(kind)
    make_folder(folder)
    temporary = folder / f"{TEMPORARY_PREFIX}{uuid.uuid4().hex}{suffix}"
    try:
        with storage_errors(folder, "written"):
            rows = write(temporary)
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            digest = sha256_of(temporary)
            path = folder / f"{digest[:ARTIFACT_NAME_LENGTH]}{suffix}"
            temporary.replace(path)
        sync_folder(folder)
    finally:
        temporary.unlink(missing_ok=True)
    return ArtifactRef(kind=kind, path=path, sha256=digest, rows=rows)


def checked_path(ref: ArtifactRef) -> Path:
    """Where the sealed bytes lie, after checking them; for what is read in parts.

    Raises:
        ArtifactMissing: the file is gone.
        ArtifactChanged: the bytes are not those that were sealed.
    """
    if not ref.is_intact():
        open_checked(ref)
    return ref.path


def publish(path: Path, kind: str, data: bytes) -> ArtifactRef:
    """Address of `data` under a name of its own, where a person looks for it; a later call replaces it."""
    write_durably(path, data)
    return ArtifactRef(kind=kind, path=path, sha256=hashlib.sha256(data).hexdigest(), rows=1)


def open_checked(ref: ArtifactRef) -> bytes:
    """The sealed bytes.

    Raises:
        ArtifactMissing: the file is gone.
        ArtifactChanged: the bytes are not those that were sealed.
    """
    try:
        data = ref.path.read_bytes()
    except FileNotFoundError as error:
        raise ArtifactMissing(
            f"{ref.kind} {ref.path} is gone", "a sealed file", "Run the same command again to make it anew."
        ) from error
    found = hashlib.sha256(data).hexdigest()
    if found != ref.sha256:
        raise ArtifactChanged(
            f"{ref.kind} {ref.path} has digest {found[:12]}",
            f"{ref.sha256[:12]}, as it was sealed",
            "Delete the file and run the same command again.",
        )
    return data


def seal_record(workspace: Workspace, kind: str, record: BaseModel, *, rows: int = 1) -> ArtifactRef:
    """Address of a record, sealed as readable JSON."""
    text = record.model_dump_json(indent=1) + "\n"
    return seal(workspace, kind, text.encode(), suffix=".json", rows=rows)


def read_record(ref: ArtifactRef, model: type[Record]) -> Record:
    """The record of class `model` that was sealed."""
    return model.model_validate_json(open_checked(ref))
