"""`sortline explain` as a shell meets it: a page and one row a picture; what makes no sense is refused with code 2."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from flows.explain_commands import explain
from flows.terminal import SpokenGroup
from models.artifacts.workspace import Workspace
from models.serving.bundle import Bundle
from models.serving.score import ScoreJob, ScoringSettings, score_folder
from tests.conftest import MODEL, NOW
from tests.pictures import write_inbox


def _app() -> typer.Typer:
    app = typer.Typer(cls=SpokenGroup, pretty_exceptions_enable=False)
    app.callback()(lambda: None)
    app.command()(explain)
    return app


def _explain(workspace: Workspace, *arguments: object) -> tuple[int, str]:
    command = ["explain", *map(str, arguments), "--name", MODEL, "--workspace", str(workspace.root), "--json"]
    done = CliRunner().invoke(_app(), command)
    return done.exit_code, done.output


def _json(output: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(output.splitlines()[-1])
    return found


def test_named_rows_become_one_page(champion_workspace: Workspace, tmp_path: Path) -> None:
    inbox, page = write_inbox(tmp_path / "inbox", 4, damaged=False), tmp_path / "pages" / "page.html"
    arguments = (inbox, "--out", page, "--rows", "picture-0002.png", "--rows", "picture-0000.png")
    code, output = _explain(champion_workspace, *arguments)
    assert code == 0, output
    answer = _json(output)
    assert [row["path"] for row in answer["rows"]] == ["picture-0002.png", "picture-0000.png"]
    assert {row["method"] for row in answer["rows"]} == {"activation"}
    assert page.read_text().count("data:image/png;base64,") == 2
    again = (*arguments, "--method", "occlusion", "--set", "explain.patch_share=0.5")
    code, output = _explain(champion_workspace, *again)
    assert code == 0, output
    assert {row["method"] for row in _json(output)["rows"]} == {"occlusion"}


def test_rows_of_a_scoring_run_are_its_least_sure(
    champion: Bundle, champion_workspace: Workspace, tmp_path: Path
) -> None:
    inbox, out = write_inbox(tmp_path / "inbox", 6, damaged=True), tmp_path / "predictions"
    score_folder(ScoreJob(inbox, champion, out, ScoringSettings()), "run", lambda: NOW)
    page = tmp_path / "page.html"
    code, output = _explain(champion_workspace, inbox, "--out", page, "--predictions", out, "--least-sure", 2)
    assert code == 0, output
    answer = _json(output)
    assert [row["status"] for row in answer["rows"]] == ["ok", "ok"]
    assert answer["bundle_sha256"] == champion.sha256
    assert Path(answer["page"]) == page


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "neither --rows nor --predictions"),
        (("--rows", "picture-0000.png", "--predictions", "out"), "both --rows and --predictions"),
        (("--rows", "picture-0009.png"), "1 of 1 named files"),
        (("--predictions", "out"), "holds no predictions"),
        (("--rows", "picture-0000.png", "--set", "explain.patch_share=2"), "patch_share"),
    ],
)
def test_what_makes_no_sense_is_refused(
    champion_workspace: Workspace,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    said: str,
) -> None:
    inbox, page = write_inbox(tmp_path / "inbox", 1, damaged=False), tmp_path / "page.html"
    code, output = _explain(champion_workspace, inbox, "--out", page, *arguments)
    assert code == 2
    assert said in output + capfd.readouterr().err
    assert not page.exists()


def test_page_does_not_go_into_the_folder_of_pictures(champion_workspace: Workspace, tmp_path: Path) -> None:
    inbox = write_inbox(tmp_path / "inbox", 1, damaged=False)
    code, _ = _explain(champion_workspace, inbox, "--out", inbox / "page.html", "--rows", "picture-0000.png")
    assert code == 2
    assert [path.name for path in inbox.iterdir()] == ["picture-0000.png"]
