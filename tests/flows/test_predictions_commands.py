"""What a person types about a finished output."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from flows.command_line import app
from models.artifacts.workspace import Workspace
from tests.conftest import MODEL
from tests.pictures import write_inbox


def _run(*arguments: object) -> tuple[int, dict[str, Any], str]:
    done = CliRunner().invoke(app, [*map(str, arguments), "--json"])
    lines = done.output.splitlines()
    return done.exit_code, json.loads(lines[-1]) if lines and lines[-1].startswith("{") else {}, done.output


@pytest.fixture
def scored(champion_workspace: Workspace, tmp_path: Path) -> tuple[Path, Path, tuple[object, ...]]:
    """Folder, output, and the command that scored it."""
    inbox, out = write_inbox(tmp_path / "inbox", 9, damaged=False), tmp_path / "out"
    for path in inbox.iterdir():
        os.utime(path, (1, 1))
    command = ("score", inbox, "--name", MODEL, "--out", out, "--workspace", champion_workspace.root)
    code, answer, output = _run(*command, "--set", "scoring.shard_rows=4")
    assert code == 0, output
    assert (answer["rows_scored"], answer["deferred"]) == (9, 0)
    return inbox, out, command


def test_output_is_shown_exported_sorted_compacted_and_verified(
    scored: tuple[Path, Path, tuple[object, ...]], tmp_path: Path
) -> None:
    inbox, out, command = scored
    code, shown, _ = _run("predictions", "show", out)
    assert (code, shown["rows_by_status"]) == (0, {"ok": 9})
    code, exported, _ = _run("predictions", "export", out, "--csv", tmp_path / "t.csv")
    assert (code, exported["rows"]) == (0, 9)
    assert (tmp_path / "t.csv").read_text().count("\n") == 10
    code, merged, _ = _run("predictions", "compact", out)
    assert (code, merged) == (0, {"parts_before": 3, "parts_after": 1, "rows": 9})
    code, retired, _ = _run("predictions", "retire", out, "--days", 0)
    assert (code, retired) == (0, {"parts": 0, "rows": 0})
    code, folders, _ = _run("predictions", "sort", out, "--into", tmp_path / "sorted", "--by", "hardlink")
    assert code == 0
    assert sum(folders["folders"].values()) == 9
    code, verified, output = _run(*command, "--verify")
    assert (code, verified["good"]) == (0, True), output
    assert "9 unchanged" in output
    picture = inbox / "picture-0001.png"
    picture.write_bytes(picture.read_bytes()[:-1] + b"x")
    os.utime(picture, (1, 1))
    code, verified, output = _run(*command, "--verify")
    assert (code, verified["good"]) == (1, False)
    assert [check["name"] for check in verified["checks"] if not check["is_good"]] == ["pictures"]


@pytest.mark.parametrize(
    "arguments",
    [("show",), ("export", "--csv", "x.csv"), ("compact",), ("retire", "--days", "1"), ("sort", "--into", "x")],
)
def test_folder_without_predictions_is_refused(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    verb, *rest = arguments
    code, _, output = _run("predictions", verb, tmp_path, *rest)
    assert code == 2, output
    assert list(tmp_path.iterdir()) == []


def test_too_many_bad_files_fail_the_command_with_all_rows_kept(champion_workspace: Workspace, tmp_path: Path) -> None:
    inbox, out = write_inbox(tmp_path / "inbox", 9, damaged=True), tmp_path / "out"
    command = ("score", inbox, "--name", MODEL, "--out", out, "--workspace", champion_workspace.root)
    allowed = ("--set", "scoring.settle_seconds=0", "--set", "scoring.max_bad_files=6")
    assert _run(*command, *allowed)[0] == 0, "six are bad, and six are allowed"
    code, _, output = _run(*command, *allowed[:2], "--set", "scoring.max_bad_files=5")
    assert code == 1
    assert "6 of 15 files cannot be scored" in output
    assert _run("predictions", "show", out)[1]["rows_by_status"]["ok"] == 9
