"""Models by name: their bundles, their champion, and an append-only history of who became it and why."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Literal

from models.artifacts.records import RegistryEvent, RegistryEventName
from models.artifacts.workspace import Workspace
from models.errors import ArtifactChanged, ArtifactMissing, SettingsError
from models.serving.bundle import BUNDLE_NAME_LENGTH, MANIFEST_FILE, Bundle, read_bundle
from models.serving.history import Deed, Entry
from models.serving.ledger import HISTORY_FILE, Champion, HeldLedger, Ledger, Snapshot
from models.serving.signature import UNSIGNED, SignatureSettings

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


class Registry:
    """All models of a workspace."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def names(self) -> list[str]:
        """Models that have a history, by name."""
        return sorted(path.parent.name for path in self._workspace.models_dir.glob(f"*/{HISTORY_FILE}"))

    def folder(self, name: str) -> Path:
        """Where all of a model lies."""
        return self._workspace.model_dir(check_name(name))

    def bundles_dir(self, name: str) -> Path:
        """Where the bundles of a model lie."""
        return self.folder(name) / "bundles"

    def bundle_folder(self, name: str, sha256: str) -> Path:
        """Where the bundle with that digest lies, or would."""
        return self.bundles_dir(name) / sha256[:BUNDLE_NAME_LENGTH]

    def snapshot(self, name: str) -> Snapshot:
        """History of a model and where it stands, checked against its pointer.

        Raises:
            ArtifactChanged: the history was altered, or champion.json names what was never promoted.
        """
        return Ledger(self.folder(name)).read()

    def history(self, name: str) -> list[RegistryEvent]:
        """Events of a model, oldest first.

        Raises:
            ArtifactChanged: as `snapshot`.
        """
        return list(self.snapshot(name).history.events)

    def champion(self, name: str) -> Champion | None:
        """The champion's pointer; None before the first.

        Raises:
            ArtifactChanged: as `snapshot`.
        """
        return self.snapshot(name).champion

    def open_champion(self, name: str, signature: SignatureSettings = UNSIGNED) -> Bundle:
        """The champion's bundle, checked.

        Raises:
            SettingsError: the model has no champion.
            ArtifactChanged: as `snapshot`, or the bundle is not what it was.
            SignatureRefused: its signature is not one that the settings accept.
        """
        return self.open_bundle(name, self._require_champion(name).bundle_sha256, signature)

    def champion_folder(self, name: str) -> Path:
        """Where the champion's bundle lies; nothing in it is read.

        Raises:
            SettingsError: the model has no champion.
        """
        return self.bundle_folder(name, self._require_champion(name).bundle_sha256)

    def open_bundle(self, name: str, sha256: str, signature: SignatureSettings = UNSIGNED) -> Bundle:
        """The bundle with that digest, checked.

        Raises:
            ArtifactChanged: its folder holds another one.
        """
        bundle = read_bundle(self.bundle_folder(name, sha256), signature)
        if bundle.sha256 != sha256:
            raise ArtifactChanged(
                f"bundle {bundle.folder} has digest {bundle.sha256[:12]}", sha256[:12], "Train anew or restore it."
            )
        return bundle

    @contextmanager
    def hold(self, name: str) -> Iterator[HeldLedger]:
        """History and pointer of a model that has a history, for one writer.

        Raises:
            SettingsError: no model has that name.
            OutputBusy: another process held them for too long.
        """
        if check_name(name) not in self.names():
            raise self._unknown(f"model {name} has no history")
        with Ledger(self.folder(name)).hold() as held:
            yield held

    def promote(
        self, name: str, bundle: Bundle, at: datetime, reason: str, by: str = "", verdict_sha256: str = ""
    ) -> Champion:
        """The pointer after `bundle` became champion; the champion itself again changes nothing.

        Args:
            name: of the model.
            bundle: lies where the bundles of that model lie.
            at: UTC.
            reason: why.
            by: who; empty for whoever is signed in.
            verdict_sha256: digest of the sealed verdict behind it.
        """
        with Ledger(self.folder(name)).hold() as held:
            current = held.now.champion
            if current is None or current.bundle_sha256 != bundle.sha256:
                self._require_present(name, bundle.sha256)
                held.record(entry_of("promoted", bundle, Deed(at, reason, by, verdict_sha256)))
                current = held.now.champion
        if current is None:
            raise ValueError("a promoted bundle is champion")
        return current

    def propose(
        self, name: str, bundle: Bundle, deed: Deed, event: Literal["candidate", "imported"] = "candidate"
    ) -> None:
        """Makes `bundle` the candidate that waits for a person; champion or candidate again changes nothing."""
        with Ledger(self.folder(name)).hold() as held:
            standing = held.now.standing
            known = {e.bundle_sha256 for e in (standing.champion, standing.candidate) if e is not None}
            if bundle.sha256 not in known:
                self._require_present(name, bundle.sha256)
                held.record(entry_of(event, bundle, deed))

    def refuse(
        self, name: str, bundle: Bundle, at: datetime, reason: str, by: str = "", verdict_sha256: str = ""
    ) -> None:
        """Writes down that `bundle` did not become champion."""
        with Ledger(self.folder(name)).hold() as held:
            held.record(entry_of("refused", bundle, Deed(at, reason, by, verdict_sha256)))

    def _require_present(self, name: str, sha256: str) -> None:
        """Refuses a bundle that was deleted since it was read."""
        folder = self.bundle_folder(name, sha256)
        if not (folder / MANIFEST_FILE).is_file():
            raise ArtifactMissing(f"no bundle at {folder}", "a folder with manifest.json", "Train anew.")

    def _require_champion(self, name: str) -> Champion:
        now = self.snapshot(name)
        if now.champion is None:
            waits = now.standing.candidate is not None
            raise self._unknown(
                f"model {name} has no champion",
                f"Its candidate waits: `sortline models approve {name}`." if waits else "Run `sortline train` first.",
            )
        return now.champion

    def _unknown(self, what: str, do: str = "Run `sortline train` first.") -> SettingsError:
        known = ", ".join(self.names()) or "none"
        return SettingsError(
            f"{what} in workspace {self._workspace.root}",
            f"a trained model (known: {known})",
            do,
        )


def entry_of(event: RegistryEventName, bundle: Bundle, deed: Deed) -> Entry:
    """An event of a bundle."""
    return Entry(event, bundle.sha256, bundle.scorecard.served.macro_f1.value, deed)


def check_name(name: str) -> str:
    """The name of a model, safe as a folder.

    Raises:
        SettingsError: other characters than a-z, 0-9 and dash, or too long.
    """
    if not _NAME.fullmatch(name):
        raise SettingsError(f"model name {name!r}", "a-z, 0-9 and dashes, at most 63", "Choose another --name.")
    return name
