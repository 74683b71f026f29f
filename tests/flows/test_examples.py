"""The flows in docs/examples run as they stand there."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.artifacts.workspace import Workspace
from tests.conftest import MODEL
from tests.pictures import draw, write_inbox

pytestmark = pytest.mark.usefixtures("prefect_backend")
EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"


def _loaded(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_nightly_report(champion_workspace: Workspace, tmp_path: Path) -> None:
    folders = [write_inbox(tmp_path / name, 5, damaged=False, seed=k) for k, name in enumerate("ab")]
    inboxes = {str(folder): str(tmp_path / f"out-{folder.name}") for folder in folders}
    found = _loaded("nightly_report").nightly_report(inboxes, MODEL, champion_workspace.root)
    assert list(found.values()) == [5, 5]
    assert len((tmp_path / "out-a.csv").read_text().splitlines()) == 6


def test_audit_before_labelling(tmp_path: Path) -> None:
    inbox = write_inbox(tmp_path / "delivery", 6, damaged=True)
    (inbox / "copy.png").write_bytes((inbox / "picture-0000.png").read_bytes())
    found = _loaded("audit_before_labelling").worth_labelling(inbox, tmp_path / "workspace")
    assert len(found) == 6
    assert len({"copy.png", "picture-0000.png"} & set(found)) == 1


def test_second_opinion(champion_workspace: Workspace, tmp_path: Path) -> None:
    inbox, rng = tmp_path / "inbox", np.random.default_rng(5)
    inbox.mkdir()
    for k in range(60):
        draw("side", rng).save(inbox / f"{k:02}.png")
    flow = _loaded("second_opinion").second_opinion
    said = flow(str(inbox), MODEL, str(tmp_path / "out"), champion_workspace.root)
    assert said == "not_enough_data", "30 test pictures are too few to compare with"
