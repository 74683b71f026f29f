"""What makes a task's earlier answer good enough.

Same sealed inputs, same settings and files that they name, same code, and an artifact that is intact.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefect.cache_policies import INPUTS, TASK_SOURCE, CachePolicy
from prefect.context import TaskRunContext
from prefect.settings import get_current_settings
from pydantic import ValidationError

from models.artifacts.durable import sha256_of
from models.artifacts.ref import ArtifactRef
from models.data.listing import list_entries
from models.settings import Settings, named_files
from models.version import __version__

# Where pictures lie is no part of what they are; the listing's and the split's digests are.
_NOT_IDENTITY = ("folder",)


@dataclass
class SealedInputs(CachePolicy):
    """Cache key of a task that takes sealed refs and gives one.

    A cached ref may point at a file that was deleted or altered since. Its record is then dropped, so that the
    task runs again instead of failing every night.
    """

    def compute_key(
        self,
        task_ctx: TaskRunContext,
        inputs: dict[str, Any],
        flow_parameters: dict[str, Any],
        **_kwargs: Any,
    ) -> str | None:
        """Key of the task's name, source, version and identifying inputs."""
        identity = {name: value for name, value in inputs.items() if name not in _NOT_IDENTITY}
        identity |= {"task": task_ctx.task.name, "version": __version__, "files": _named_files(inputs)}
        parts = [
            INPUTS.compute_key(task_ctx, identity, flow_parameters),
            TASK_SOURCE.compute_key(task_ctx, identity, flow_parameters),
        ]
        key = "-".join(part for part in parts if part)
        storage = get_current_settings().results.local_storage_path
        if storage is not None:
            _forget_broken(Path(storage) / key)
        return key


def _named_files(inputs: dict[str, Any]) -> list[str | None]:
    """Digests of the files that settings among the inputs name; None where there is none, of which the task tells.

    Of a folder it is the digest of its listing.
    """
    paths = [path for value in inputs.values() if isinstance(value, Settings) for path in named_files(value)]
    return [sha256_of(p) if p.is_file() else _listing_digest(p) if p.is_dir() else None for p in paths]


def _listing_digest(folder: Path) -> str:
    found = hashlib.sha256()
    for entry in list_entries(folder):
        found.update(repr(entry).encode())
    return found.hexdigest()


def _forget_broken(record: Path) -> None:
    """Deletes a cache record whose artifact is gone or altered."""
    if not record.is_file():
        return
    try:
        ref = ArtifactRef.model_validate(json.loads(json.loads(record.read_bytes())["result"])["data"])
    except (ValueError, KeyError, TypeError, ValidationError):
        record.unlink(missing_ok=True)
        return
    if not ref.is_intact():
        record.unlink(missing_ok=True)


SEALED = SealedInputs()
