"""Bundles to MLflow's registry and back, against a real one where mlflow is installed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from models.artifacts.workspace import Workspace
from models.errors import ArtifactChanged, SettingsError
from models.serving.bundle import Bundle
from models.serving.decisions import approve
from models.serving.mlflow_exchange import export_champion, import_version
from models.serving.registry import Registry
from tests.conftest import MODEL, NOW
from tests.registry_cases import DEED, bundle_named


def test_without_mlflow_it_says_what_to_install(champion_workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(SettingsError, match=r"pip install 'sortline\[mlflow\]'"):
        export_champion(Registry(champion_workspace), MODEL, "sqlite:////nowhere/mlflow.db")


# MLflow's own code warns of what it will change; it is the other side's.
@pytest.mark.filterwarnings("ignore")
def test_champion_goes_to_mlflow_and_comes_back_as_a_candidate(
    champion: Bundle, champion_workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mlflow")
    monkeypatch.chdir(tmp_path)
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    ours, theirs = Registry(champion_workspace), Registry(Workspace.open(tmp_path / "other"))
    version = export_champion(ours, MODEL, uri)
    assert export_champion(ours, MODEL, uri) == version
    with pytest.raises(SettingsError, match="has no champion"):
        export_champion(theirs, MODEL, uri)
    assert import_version(theirs, MODEL, (uri, version), DEED).sha256 == champion.sha256
    assert theirs.champion(MODEL) is None
    assert [event.event for event in theirs.history(MODEL)] == ["imported"]
    assert f"version {version} of sqlite://" in theirs.history(MODEL)[0].reason
    approve(theirs, MODEL, DEED)
    assert theirs.open_champion(MODEL).sha256 == champion.sha256
    assert not list(theirs.folder(MODEL).glob(".tmp-*"))
    with pytest.raises(SettingsError, match="refused"):
        import_version(theirs, MODEL, (uri, "7"), DEED)


@pytest.mark.filterwarnings("ignore")
def test_version_that_was_altered_in_mlflow_is_not_believed(
    champion: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mlflow")
    monkeypatch.chdir(tmp_path)
    uri, place = f"sqlite:///{tmp_path}/mlflow.db", Workspace.open(tmp_path / "workspace")
    registry = Registry(place)
    registry.promote(MODEL, bundle_named(champion, place, "a"), NOW, "good")
    version = export_champion(registry, MODEL, uri)
    (card,) = tmp_path.glob("mlruns/**/bundle/card.md")
    card.write_text("# Another\n")
    with pytest.raises(ArtifactChanged, match=r"card\.md has other bytes"):
        import_version(Registry(Workspace.open(tmp_path / "other")), MODEL, (uri, version), DEED)
