"""Drift from the command line: every run is in the history, and a new mix of classes can be used."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from flows.command_line import app
from models.artifacts.workspace import Workspace
from models.serving.reader import read_predictions
from tests.conftest import MODEL
from tests.pictures import draw

SETTLED = ["--set", "scoring.settle_seconds=0"]


def _call(*words: str) -> tuple[int, dict[str, object]]:
    done = CliRunner().invoke(app, [*words, "--json"])
    assert done.exit_code in (0, 1), done.output
    return done.exit_code, json.loads(done.stdout.splitlines()[-1])


def _write(folder: Path, label: str, count: int, seed: int) -> None:
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(seed)
    for k in range(count):
        draw(label, rng).save(folder / f"{label}-{seed}-{k:03}.png")


@pytest.fixture
def workspace(champion_workspace: Workspace, tmp_path: Path) -> Path:
    """A copy without a history: other tests of the session may have scored with the same model."""
    without = shutil.ignore_patterns("drift")
    return Path(shutil.copytree(champion_workspace.root, tmp_path / "workspace", ignore=without))


def test_batches_are_measured_and_remembered(workspace: Path, tmp_path: Path) -> None:
    inbox, out = tmp_path / "inbox", tmp_path / "out"
    place = ["--name", MODEL, "--workspace", str(workspace)]
    few = ["--set", "drift.min_rows=20"]
    for seed, label in ((1, "down"), (2, "side")):
        _write(inbox, label, 30, seed)
        code, answer = _call("score", str(inbox), "--out", str(out), *place, *few, *SETTLED)
        assert code == 0
    found = answer["drift"]
    assert isinstance(found, dict)
    assert {m["against"] for m in found["measures"]} == {"baseline", "previous"}
    assert (found["rows"], found["previous_rows"], found["status"]) == (30, 30, "drift")
    code, history = _call("drift", "history", *place)
    batches = history["batches"]
    assert isinstance(batches, list)
    assert [batch["rows"] for batch in batches] == [30, 30]
    code, again = _call("drift", "show", str(out), *place, *few)
    assert (code, again["status"]) == (1, "drift")
    assert len(list((workspace / "drift" / MODEL).iterdir())) == 2, "the same batch is not remembered twice"
    page = (workspace / "reports" / f"{MODEL}-drift.html").read_text()
    assert "predicted class mix" in page
    assert "<svg" in page
    assert 'src="http' not in page


def test_scores_are_corrected_to_a_stated_mix(workspace: Path, tmp_path: Path) -> None:
    _write(tmp_path / "inbox", "round", 12, 3)
    place = ["--name", MODEL, "--workspace", str(workspace), *SETTLED]
    _call("score", str(tmp_path / "inbox"), "--out", str(tmp_path / "plain"), *place)
    wished = "scoring.class_prior=down=0.0005,round=0.0005,side=0.999"
    code, answer = _call("score", str(tmp_path / "inbox"), "--out", str(tmp_path / "side"), *place, "--set", wished)
    assert (code, answer["class_prior"]) == (0, ["down=0.0005", "round=0.0005", "side=0.999"])
    plain, side = (read_predictions(tmp_path / name).sort_by("path").to_pylist() for name in ("plain", "side"))
    shares = [dict(zip(row["top_labels"], row["top_scores"], strict=True)) for row in (*plain, *side)]
    assert all(new["side"] > old["side"] for old, new in zip(shares[:12], shares[12:], strict=True))
