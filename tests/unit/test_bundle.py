from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import pytest

from models.artifacts.workspace import Workspace
from models.data.limits import NO_LIMITS
from models.errors import ArtifactChanged, ArtifactMissing, SettingsError, UnsafeModel
from models.learning.checkpoint import decode_checkpoint
from models.networks.registry import find_network
from models.serving.bundle import Bundle, BundleParts, read_bundle, write_bundle
from models.serving.lint import lint_model
from models.serving.picture_scorer import PictureScorer
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


def test_file_that_is_swapped_after_the_check_is_not_the_one_that_runs(champion: Bundle, tmp_path: Path) -> None:
    folder = shutil.copytree(champion.folder, tmp_path / "copy")
    bundle = read_bundle(folder)
    (folder / "model.onnx").write_bytes(b"another model")
    picture = bundle.golden["picture"][0].as_py()
    (tmp_path / "picture").write_bytes(picture)
    scored = PictureScorer(bundle.onnx_bytes, NO_LIMITS).score(tmp_path / "picture")
    assert scored.probabilities is not None
    assert scored.probabilities.tolist() == bundle.golden["probabilities"][0].as_py()
    with pytest.raises(ArtifactChanged, match=r"model\.onnx has other bytes"):
        read_bundle(folder)


@pytest.mark.parametrize(
    ("manifest", "words"),
    [
        (b"[]", "its manifest does not read"),
        (b'{"model.onnx": 3}', "its manifest does not read"),
        (b'{"../../champion.json": {"sha256": "0"}}', "missing or added"),
        (b"{" + b" " * (1 << 20), "larger than"),
    ],
)
def test_manifest_written_by_hand_is_refused(champion: Bundle, tmp_path: Path, manifest: bytes, words: str) -> None:
    folder = shutil.copytree(champion.folder, tmp_path / "copy")
    (folder / "manifest.json").write_bytes(manifest)
    with pytest.raises(ArtifactChanged, match=words):
        read_bundle(folder)


def test_pickle_is_read_nowhere(tmp_path: Path) -> None:
    class Planted:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path(tmp_path / "ran").write_text, ("",))

    path = tmp_path / "weights.safetensors"
    path.write_bytes(pickle.dumps(Planted()))
    with pytest.raises(SettingsError, match=r"weights\.safetensors cannot be read"):
        find_network("convnet", str(path))
    with pytest.raises(ArtifactChanged, match="is no safetensors file"):
        decode_checkpoint(path.read_bytes())
    with pytest.raises(UnsafeModel, match="is not an ONNX file"):
        lint_model(path.read_bytes())
    assert not (tmp_path / "ran").exists()


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
