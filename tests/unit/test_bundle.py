from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from models.artifacts.workspace import Workspace
from models.errors import ArtifactChanged, ArtifactMissing, SettingsError
from models.serving.bundle import Bundle, BundleParts, read_bundle, write_bundle
from models.serving.registry import Registry
from tests.conftest import MODEL, NOW

FILES = ("model.onnx", "card.json", "card.md", "scorecard.json", "baseline.parquet", "golden.parquet")


@pytest.mark.parametrize("name", FILES)
def test_any_altered_file_refuses(champion: Bundle, tmp_path: Path, name: str) -> None:
    copy = shutil.copytree(champion.folder, tmp_path / "copy")
    (copy / name).write_bytes((copy / name).read_bytes() + b" ")
    with pytest.raises(ArtifactChanged, match=f"{name} has other bytes"):
        read_bundle(copy)


def test_added_missing_and_linked_files_refuse(champion: Bundle, tmp_path: Path) -> None:
    added = shutil.copytree(champion.folder, tmp_path / "added")
    (added / "extra.bin").write_bytes(b"")
    linked = shutil.copytree(champion.folder, tmp_path / "linked")
    (linked / "model.onnx").unlink()
    (linked / "model.onnx").symlink_to(champion.folder / "model.onnx")
    missing = shutil.copytree(champion.folder, tmp_path / "missing")
    (missing / "card.json").unlink()
    for folder in (added, linked, missing):
        with pytest.raises(ArtifactChanged):
            read_bundle(folder)
    with pytest.raises(ArtifactMissing, match=r"no bundle at"):
        read_bundle(tmp_path / "nowhere")


def test_champion_is_promoted_once_and_refusals_are_remembered(champion: Bundle, tmp_path: Path) -> None:
    registry = Registry(Workspace.open(tmp_path))
    shutil.copytree(champion.folder, registry.bundles_dir(MODEL) / champion.folder.name)
    bundle = read_bundle(registry.bundles_dir(MODEL) / champion.folder.name)
    with pytest.raises(SettingsError, match="has no champion"):
        registry.open_champion(MODEL)
    registry.refuse(MODEL, bundle, NOW, "too weak")
    first = registry.promote(MODEL, bundle, NOW, "good")
    assert registry.promote(MODEL, bundle, NOW, "again") == first
    assert [(e.sequence, e.event, e.reason) for e in registry.history(MODEL)] == [
        (1, "refused", "too weak"),
        (2, "promoted", "good"),
    ]
    assert registry.names() == [MODEL]
    assert registry.open_champion(MODEL).sha256 == champion.sha256


def test_bundle_that_is_not_the_champions_refuses(champion: Bundle, tmp_path: Path) -> None:
    registry = Registry(Workspace.open(tmp_path))
    folder = registry.bundles_dir(MODEL) / champion.folder.name
    shutil.copytree(champion.folder, folder)
    registry.promote(MODEL, read_bundle(folder), NOW, "good \u2028 reason")
    assert registry.history(MODEL)[0].reason == "good \u2028 reason"
    numbers = champion.scorecard.model_copy(update={"split": "other"})
    parts = BundleParts(
        champion.onnx_bytes, champion.onnx_bytes, champion.card, numbers, champion.baseline, champion.golden
    )
    other, _ = write_bundle(tmp_path, parts, "# Other")
    shutil.rmtree(folder)
    shutil.copytree(other, folder)
    with pytest.raises(ArtifactChanged, match="has digest"):
        registry.open_champion(MODEL)


@pytest.mark.parametrize("name", ["", "../up", "Upper", "-dash", "a" * 64])
def test_name_that_is_no_safe_folder_is_wrong_use(tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingsError, match="a-z, 0-9 and dashes"):
        Registry(Workspace.open(tmp_path)).champion(name)
