"""Whether models have learned from pictures that are to be forgotten, and what is kept of those pictures besides."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal, NamedTuple

import pyarrow.parquet as pq
from safetensors import SafetensorError
from safetensors.numpy import load

from models.artifacts.durable import sha256_of, storage_errors
from models.artifacts.ref import ARTIFACT_NAME_LENGTH
from models.artifacts.workspace import Workspace
from models.errors import SortlineError
from models.serving.bundle import Bundle
from models.serving.registry import Registry

Outcome = Literal["clean", "learned", "unknown"]


class Remembered(NamedTuple):
    """What one bundle has of the pictures.

    Attributes:
        learned: that its split held; None where the split is gone.
        golden: that lie in the bundle itself.
    """

    bundle_sha256: str
    is_champion: bool
    learned: int | None
    golden: int

    @property
    def outcome(self) -> Outcome:
        """`clean` only where it is shown."""
        if self.learned or self.golden:
            return "learned"
        return "unknown" if self.learned is None else "clean"


def remembered(workspace: Workspace, name: str, excluded: frozenset[str]) -> list[Remembered]:
    """What every bundle of a model that still lies there has of the pictures, oldest first.

    A card names the digest of the split that its model learned from; the split names all of its pictures. Where the
    split lies in the workspace with that very digest, what it does not name was not learned from.

    Args:
        workspace: holds the model.
        name: of the model.
        excluded: digests of the pictures.
    """
    registry = Registry(workspace)
    champion = registry.champion(name)
    found = []
    for sha256 in dict.fromkeys(event.bundle_sha256 for event in registry.history(name)):
        try:
            bundle = registry.open_bundle(name, sha256)
        except SortlineError:
            continue
        is_champion = champion is not None and champion.bundle_sha256 == sha256
        learned = _learned(workspace, bundle, excluded)
        found.append(Remembered(sha256, is_champion, learned, _golden(bundle, excluded)))
    return found


def drop_kept(workspace: Workspace, excluded: frozenset[str]) -> int:
    """Number of files of kept features, pixels, maps and unfinished trainings that were deleted.

    Features are deleted where their file names one of the pictures; what does not name its pictures goes whole. All of
    it is made anew when it is needed.
    """
    named = [path for path in workspace.features_dir.rglob("*.safetensors") if _names_any(path, excluded)]
    unnamed = [*workspace.features_dir.rglob("*.rows"), *workspace.states_dir.glob("*.safetensors")]
    for path in (*named, *unnamed):
        with storage_errors(path, "deleted"):
            path.unlink(missing_ok=True)
            path.with_suffix(".sha256").unlink(missing_ok=True)
    return len(named) + len(unnamed)


def _learned(workspace: Workspace, bundle: Bundle, excluded: frozenset[str]) -> int | None:
    digest = bundle.card.data_sha256
    path = workspace.artifact_dir("split") / f"{digest[:ARTIFACT_NAME_LENGTH]}.parquet"
    if not path.is_file() or sha256_of(path) != digest:
        return None
    return len(excluded & set(pq.read_table(path, columns=["image_id"])["image_id"].to_pylist()))


def _golden(bundle: Bundle, excluded: frozenset[str]) -> int:
    return len(excluded & {hashlib.sha256(data).hexdigest() for data in bundle.golden["picture"].to_pylist()})


def _names_any(path: Path, excluded: frozenset[str]) -> bool:
    try:
        ids = load(path.read_bytes()).get("image_id")
    except (OSError, SafetensorError):
        return False
    return ids is not None and not excluded.isdisjoint(bytes(row).hex() for row in ids)
