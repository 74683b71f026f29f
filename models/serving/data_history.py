"""What a model's data were when they were last accepted: what new data are compared with, and what keeps splits."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from models.artifacts.durable import write_durably
from models.artifacts.ref import ArtifactRef
from models.artifacts.workspace import Workspace
from models.serving.registry import Registry, check_name


class AcceptedData(BaseModel):
    """Data that passed every critical rule, and the data that were accepted before them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    manifest: ArtifactRef
    split: ArtifactRef
    manifest_before: ArtifactRef | None = None
    split_before: ArtifactRef | None = None


class DataBefore(BaseModel):
    """What a manifest is compared with; None where there is none.

    Attributes:
        manifest: the last accepted one that is not the same.
        split: how that was divided.
        champion_classes: the classes of the model's champion.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    manifest: ArtifactRef | None = None
    split: ArtifactRef | None = None
    champion_classes: tuple[str, ...] | None = None


def data_before(workspace: Workspace, name: str, manifest: ArtifactRef) -> DataBefore:
    """The accepted data of a model before `manifest`, and its champion's classes.

    Where `manifest` is itself the one that was accepted last, it is what that was compared with: a second run over
    the same folder must not compare it with itself. Files that are gone count as never accepted. An empty name
    compares with nothing.
    """
    if not name:
        return DataBefore()
    registry = Registry(workspace)
    classes = registry.open_champion(name).card.classes if registry.champion(name) else None
    last = last_accepted(workspace, name)
    if last is None:
        return DataBefore(champion_classes=classes)
    is_same = last.manifest.sha256 == manifest.sha256
    pair = (last.manifest_before, last.split_before) if is_same else (last.manifest, last.split)
    return DataBefore(manifest=_intact(pair[0]), split=_intact(pair[1]), champion_classes=classes)


def last_accepted(workspace: Workspace, name: str) -> AcceptedData | None:
    """The data of a model that were accepted last."""
    path = _path(workspace, name)
    return AcceptedData.model_validate_json(path.read_bytes()) if path.is_file() else None


def remember_accepted(
    workspace: Workspace, name: str, manifest: ArtifactRef, split: ArtifactRef, before: DataBefore
) -> None:
    """Writes down that these data were accepted."""
    accepted = AcceptedData(manifest=manifest, split=split, manifest_before=before.manifest, split_before=before.split)
    write_durably(_path(workspace, name), accepted.model_dump_json(indent=1).encode())


def _path(workspace: Workspace, name: str) -> Path:
    return workspace.model_dir(check_name(name)) / "data.json"


def _intact(ref: ArtifactRef | None) -> ArtifactRef | None:
    return ref if ref is not None and ref.is_intact() else None
