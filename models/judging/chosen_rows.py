"""Which pictures are to be explained, and by which bundle: named ones, or the least sure of a scoring run."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from models.data.listing import file_name, safe_name
from models.errors import SettingsError
from models.serving.bundle import Bundle
from models.serving.commit import OutputStore
from models.serving.commit_log import Commit
from models.serving.registry import Registry
from models.serving.signature import UNSIGNED, SignatureSettings
from models.serving.sites import open_served

_SHOWN_NAMES = 5


class Choice(NamedTuple):
    """What a user asks for: names relative to the folder, or so many pictures of a folder of predictions."""

    names: tuple[str, ...] = ()
    predictions: Path | None = None
    least_sure: int = 12

    def require_sense(self) -> None:
        """Refuses a choice of nothing, and of both.

        Raises:
            SettingsError: saying which.
        """
        if bool(self.names) == (self.predictions is not None):
            raise SettingsError(
                f"{'both' if self.names else 'neither'} --rows {'and' if self.names else 'nor'} --predictions",
                "one of the two",
                "Name pictures, or the predictions to choose them from.",
            )


class Chosen(NamedTuple):
    """Pictures and the bundle that answers them; `said` is how they were chosen, in words."""

    bundle: Bundle
    paths: tuple[Path, ...]
    said: str


def chosen_pictures(
    choice: Choice, folder: Path, registry: Registry, model_name: str, signature: SignatureSettings = UNSIGNED
) -> Chosen:
    """The pictures of a choice: named ones with the champion, rows of a scoring run with the bundle that scored them.

    Args:
        choice: what is asked for.
        folder: of the pictures, absolute.
        registry: where the model's bundles lie.
        model_name: of the model.
        signature: whose bundles are believed.

    Raises:
        SettingsError: a name is of no file in the folder; or the predictions are none, or of another folder or model.
        ArtifactChanged: the predictions, the history or the bundle were altered.
        ArtifactMissing: the bundle that scored is gone.
    """
    if choice.predictions is None:
        paths = named_paths(folder, choice.names)
        return Chosen(registry.open_champion(model_name, signature), paths, "chosen by name")
    store = OutputStore(choice.predictions)
    bundle_sha256 = _last_commit(store, folder, model_name).bundle_sha256
    paths = _least_sure(store, bundle_sha256, folder, choice.least_sure)
    bundle = open_served(registry, model_name, bundle_sha256, signature)
    return Chosen(bundle, paths, "those that it was least sure of when it scored, the smallest margin first")


def named_paths(folder: Path, names: Sequence[str]) -> tuple[Path, ...]:
    """Files of a folder by names relative to it, in their order, each once.

    Raises:
        SettingsError: a name leads out of the folder, or no file has it.
    """
    distinct = list(dict.fromkeys(names))
    odd = [name for name in distinct if not _is_inside(name) or not (folder / name).is_file()]
    if odd:
        shown = ", ".join(safe_name(name)[0] for name in odd[:_SHOWN_NAMES])
        raise SettingsError(
            f"{len(odd)} of {len(distinct)} named files are not in {folder}: {shown}",
            "paths of files, relative to the folder",
            "Check --rows.",
        )
    return tuple(folder / name for name in distinct)


def _least_sure(store: OutputStore, bundle_sha256: str, folder: Path, count: int) -> tuple[Path, ...]:
    """The pictures with the smallest margins; one that was scored again counts as it was the last time."""
    table = store.read(bundle_sha256, ["path", "path_bytes", "status", "margin"])
    latest = {file_name(row): row for row in table.to_pylist()}
    margins = sorted((row["margin"], name) for name, row in latest.items() if row["status"] == "ok")
    # Joined as text: a name may hold bytes that are not UTF-8.
    return tuple(Path(os.path.join(folder, name)) for _, name in margins[:count])  # noqa: PTH118


def _last_commit(store: OutputStore, folder: Path, model_name: str) -> Commit:
    commits = store.commits()
    if not commits:
        raise SettingsError(
            f"{store.out} holds no predictions", "the --out of a scoring run", "Run sortline score first."
        )
    found, wanted = (commits[-1].model_name, commits[-1].folder), (model_name, safe_name(str(folder))[0])
    if found != wanted:
        raise SettingsError(
            f"{store.out} holds predictions of model {found[0]} on {found[1]}",
            f"those of model {wanted[0]} on {wanted[1]}",
            "Check FOLDER, --name and --predictions.",
        )
    return commits[-1]


def _is_inside(name: str) -> bool:
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts
