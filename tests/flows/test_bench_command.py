from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from flows.command_line import app
from models.artifacts.workspace import Workspace
from tests.conftest import MODEL
from tests.pictures import write_inbox


def test_bench_says_where_time_goes_and_what_share_of_the_bound_is_reached(
    champion_workspace: Workspace, tmp_path: Path
) -> None:
    inbox = write_inbox(tmp_path / "inbox", 16, damaged=False)
    command = ["bench", str(inbox), "--name", MODEL, "--workspace", str(champion_workspace.root), "--json"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    answer = json.loads(done.output.splitlines()[-1])
    assert answer["files"] == 16
    assert "Bound by read, decode, resize and infer" in done.output
    assert f"{answer['reached']:.2f} of it" in done.output
    refused = CliRunner().invoke(app, ["bench", str(inbox), "--name", MODEL, "--files", "3"])
    assert refused.exit_code == 2
