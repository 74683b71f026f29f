"""Adapting to a site from the command line and as a flow, and scoring with it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from flows.command_line import app
from models.artifacts.ref import read_record
from models.artifacts.site_records import SiteReport
from models.artifacts.workspace import Workspace
from tests.conftest import MODEL
from tests.pictures import CLASSES, draw

SETTLED = ["--set", "scoring.settle_seconds=0"]


@pytest.fixture
def workspace(champion_workspace: Workspace, tmp_path: Path) -> Path:
    """A copy: what is recorded here is not in the history of other tests."""
    return Path(shutil.copytree(champion_workspace.root, tmp_path / "workspace"))


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Labelled pictures of a site whose camera is turned by a quarter."""
    rng = np.random.default_rng(3)
    for label in CLASSES:
        (tmp_path / "site" / label).mkdir(parents=True)
        for k in range(10):
            draw(label, rng).rotate(90).save(tmp_path / "site" / label / f"{k}.png")
    return tmp_path / "site"


def _call(*words: str) -> tuple[int, dict[str, object]]:
    done = CliRunner().invoke(app, [*words, "--json"])
    assert done.exit_code in (0, 1), done.output
    return done.exit_code, json.loads(done.stdout.splitlines()[-1])


def test_from_labels_to_scores_and_back(workspace: Path, pictures: Path, tmp_path: Path) -> None:
    place = ["--name", MODEL, "--workspace", str(workspace)]
    code, report = _call("adapt", str(pictures), "--site", "north", *place)
    assert (code, report["is_accepted"]) == (0, True)
    page = Path(str(report["page"])).read_text()
    assert "Accepted" in page
    out = ["--out", str(tmp_path / "out"), *SETTLED]
    code, answer = _call("score", str(pictures), "--site", "north", *place, *out)
    assert (code, answer["rows_scored"]) == (0, 30)
    code, again = _call("score", str(pictures), "--site", "north", *place, *out)
    assert again["rows_scored"] == 0, "the same adaptation gives no second rows"
    code, listed = _call("sites", "list", *place)
    assert [row["site"] for row in listed["sites"]] == ["north"]  # type: ignore[attr-defined]
    assert _call("sites", "show", "north", *place)[1]["site_sha256"] == report["site_sha256"]
    assert _call("sites", "remove", "north", *place)[0] == 0
    refused = CliRunner().invoke(app, ["score", str(pictures), "--site", "north", *place, *out])
    assert refused.exit_code == 2
    assert _call("sites", "restore", "north", *place)[1]["restored"] == report["site_sha256"]


def test_as_a_flow_that_tells_of_it(prefect_backend: None, workspace: Path, pictures: Path) -> None:
    from flows.adapt_site import adapt_site

    report = read_record(adapt_site(pictures, MODEL, "north", workspace_root=workspace), SiteReport)
    assert report.is_accepted
    assert report.record.labelled_rows == 30
