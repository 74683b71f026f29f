"""Models by name: their bundles, their champion, and an append-only history of who became it and why."""

from __future__ import annotations

import re
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from models.artifacts.durable import exclusive_lock, storage_errors, write_durably
from models.artifacts.records import RegistryEvent
from models.artifacts.workspace import Workspace
from models.errors import ArtifactChanged, SettingsError
from models.serving.bundle import BUNDLE_NAME_LENGTH, Bundle, read_bundle
from models.serving.signature import UNSIGNED, SignatureSettings

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


class Champion(BaseModel):
    """The pointer to the bundle that scoring uses."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sequence: int
    bundle_sha256: str


class Registry:
    """All models of a workspace."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def names(self) -> list[str]:
        """Models that have a history, by name."""
        return sorted(path.parent.name for path in self._workspace.models_dir.glob("*/history.jsonl"))

    def bundles_dir(self, name: str) -> Path:
        """Where the bundles of a model lie."""
        return self._workspace.model_dir(check_name(name)) / "bundles"

    def history(self, name: str) -> list[RegistryEvent]:
        """Events of a model, oldest first."""
        path = self._workspace.model_dir(check_name(name)) / "history.jsonl"
        if not path.exists():
            return []
        with storage_errors(path, "read"):
            lines = path.read_bytes().split(b"\n")
        return [RegistryEvent.model_validate_json(line) for line in lines if line]

    def champion(self, name: str) -> Champion | None:
        """The champion's pointer; None before the first."""
        path = self._workspace.model_dir(check_name(name)) / "champion.json"
        return Champion.model_validate_json(path.read_bytes()) if path.exists() else None

    def open_champion(self, name: str, signature: SignatureSettings = UNSIGNED) -> Bundle:
        """The champion's bundle, checked.

        Raises:
            SettingsError: the model has no champion.
            SignatureRefused: its signature is not one that the settings accept.
        """
        return self.open_bundle(name, self._require_champion(name).bundle_sha256, signature)

    def champion_folder(self, name: str) -> Path:
        """Where the champion's bundle lies; nothing in it is read.

        Raises:
            SettingsError: the model has no champion.
        """
        return self._bundle_folder(name, self._require_champion(name).bundle_sha256)

    def open_bundle(self, name: str, sha256: str, signature: SignatureSettings = UNSIGNED) -> Bundle:
        """The bundle with that digest, checked.

        Raises:
            ArtifactChanged: its folder holds another one.
        """
        bundle = read_bundle(self._bundle_folder(name, sha256), signature)
        if bundle.sha256 != sha256:
            raise ArtifactChanged(
                f"bundle {bundle.folder} has digest {bundle.sha256[:12]}", sha256[:12], "Train anew or restore it."
            )
        return bundle

    def _bundle_folder(self, name: str, sha256: str) -> Path:
        return self.bundles_dir(name) / sha256[:BUNDLE_NAME_LENGTH]

    def _require_champion(self, name: str) -> Champion:
        champion = self.champion(name)
        if champion is None:
            known = ", ".join(self.names()) or "none"
            raise SettingsError(
                f"model {name} has no champion in workspace {self._workspace.root}",
                f"a trained model (known: {known})",
                "Run `sortline train` first.",
            )
        return champion

    def promote(self, name: str, bundle: Bundle, at: datetime, reason: str) -> Champion:
        """The pointer after `bundle` became champion; the champion itself again changes nothing."""
        with self._lock(name):
            current = self.champion(name)
            if current is not None and current.bundle_sha256 == bundle.sha256:
                return current
            event = self._record(name, bundle, at, "promoted", reason)
            champion = Champion(sequence=event.sequence, bundle_sha256=bundle.sha256)
            path = self._workspace.model_dir(name) / "champion.json"
            write_durably(path, champion.model_dump_json(indent=1).encode())
            return champion

    def refuse(self, name: str, bundle: Bundle, at: datetime, reason: str) -> None:
        """Writes down that `bundle` did not become champion."""
        with self._lock(name):
            self._record(name, bundle, at, "refused", reason)

    def _lock(self, name: str) -> AbstractContextManager[None]:
        return exclusive_lock(self._workspace.model_dir(name) / ".lock")

    def _record(self, name: str, bundle: Bundle, at: datetime, event: str, reason: str) -> RegistryEvent:
        history = self.history(name)
        entry = RegistryEvent.model_validate(
            {
                "sequence": len(history) + 1,
                "at": at.isoformat(),
                "event": event,
                "bundle_sha256": bundle.sha256,
                "macro_f1": bundle.scorecard.served.macro_f1.value,
                "reason": reason,
            }
        )
        lines = "".join(line.model_dump_json() + "\n" for line in (*history, entry))
        write_durably(self._workspace.model_dir(name) / "history.jsonl", lines.encode())
        return entry


def check_name(name: str) -> str:
    """The name of a model, safe as a folder.

    Raises:
        SettingsError: other characters than a-z, 0-9 and dash, or too long.
    """
    if not _NAME.fullmatch(name):
        raise SettingsError(f"model name {name!r}", "a-z, 0-9 and dashes, at most 63", "Choose another --name.")
    return name
