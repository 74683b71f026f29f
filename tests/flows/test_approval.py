"""A person's word on a model that waits: as a Prefect flow with a form, and from a shell."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from prefect.utilities.callables import parameter_schema
from typer.testing import CliRunner

from flows.approve_candidate import approve_candidate
from flows.command_line import app
from flows.score_folder import score_folder
from flows.train_classifier import train_classifier
from models.artifacts.records import ScoreSummary
from models.artifacts.ref import read_record
from models.artifacts.workspace import Workspace
from models.compression.settings import CompressionSettings
from models.errors import SettingsError
from models.serving.bundle import Bundle
from models.serving.registry import Registry
from models.serving.score import ScoringSettings
from tests.chain import FAST
from tests.conftest import MODEL
from tests.pictures import write_inbox
from tests.registry_cases import DEED, bundle_named
from validation.gate_settings import GateSettings
from validation.verdicts import ApprovalSettings


@pytest.fixture
def place(champion_workspace: Workspace, tmp_path: Path) -> Workspace:
    """A workspace of its own with the champion."""
    return Workspace.open(shutil.copytree(champion_workspace.root, tmp_path / "workspace"))


@pytest.fixture
def waiting(champion: Bundle, place: Workspace) -> Bundle:
    """A candidate that waits."""
    found = bundle_named(champion, place, "waiting")
    Registry(place).propose(MODEL, found, DEED)
    return found


def _events(place: Workspace) -> list[tuple[str, str, str]]:
    return [(event.event, event.by, event.reason) for event in Registry(place).history(MODEL)]


@pytest.mark.usefixtures("prefect_backend")
def test_accepted_model_waits_scores_nothing_and_is_champion_once_a_person_says_so(
    labelled: Path, tmp_path: Path
) -> None:
    place = Workspace.open(tmp_path / "workspace")
    refs = train_classifier(
        labelled,
        "fresh",
        place.root,
        training=FAST,
        compression=CompressionSettings(int8=False),
        gate=GateSettings(),
        approval=ApprovalSettings(by_person=True),
    )
    inbox = write_inbox(tmp_path / "inbox", 3, damaged=False)
    with pytest.raises(SettingsError, match="sortline models approve fresh"):
        score_folder(str(inbox), "fresh", str(tmp_path / "out"), place.root)
    assert "waits for" in (place.reports_dir / "fresh.html").read_text()
    with pytest.raises(SettingsError, match="by of the decision empty"):
        approve_candidate("fresh", "approve", " ", "looks right", workspace_root=place.root)
    with pytest.raises(SettingsError, match="Expected 000000000000, as it was asked for"):
        approve_candidate("fresh", "approve", "mara", "looks right", bundle="0" * 12, workspace_root=place.root)
    digest = approve_candidate(
        "fresh", "approve", "mara", "looks right", bundle=refs.bundle.sha256[:12], workspace_root=place.root
    )
    assert digest == refs.bundle.sha256
    last = Registry(place).history("fresh")[-1]
    assert (last.event, last.by, last.reason, last.verdict_sha256) == (
        "promoted",
        "mara",
        "looks right",
        refs.gate_verdict.sha256,
    )
    summary, _, _ = score_folder(
        str(inbox), "fresh", str(tmp_path / "out"), place.root, scoring=ScoringSettings(threads=1)
    )
    assert read_record(summary, ScoreSummary).bundle_sha256 == digest


@pytest.mark.usefixtures("prefect_backend")
def test_rejected_model_waits_no_longer_and_the_champion_stays(
    place: Workspace, waiting: Bundle, champion: Bundle
) -> None:
    assert approve_candidate(MODEL, "reject", "mara", "too dark", workspace_root=place.root) == waiting.sha256
    assert Registry(place).open_champion(MODEL).sha256 == champion.sha256
    assert _events(place)[-1] == ("rejected", "mara", "too dark")
    with pytest.raises(SettingsError, match="no candidate"):
        approve_candidate(MODEL, "approve", "mara", "after all", workspace_root=place.root)


def test_form_asks_for_a_decision_a_name_and_a_reason() -> None:
    schema = parameter_schema(approve_candidate.fn)
    assert {"name", "decision", "by", "reason"} == set(schema.required)
    assert schema.properties["decision"]["enum"] == ["approve", "reject"]
    assert "history keeps it" in schema.properties["by"]["description"]


def _shell(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["models", *arguments])
    return done.exit_code, done.output


def test_approve_rollback_and_reject_from_a_shell(place: Workspace, waiting: Bundle, champion: Bundle) -> None:
    where = ("--workspace", str(place.root))
    assert _shell("approve", MODEL, "--by", "mara", "--reason", "checked 50 by eye", *where)[0] == 0
    assert Registry(place).open_champion(MODEL).sha256 == waiting.sha256
    assert _events(place)[-1] == ("promoted", "mara", "checked 50 by eye")
    assert _shell("approve", MODEL, *where)[0] == 2, "nobody waits"
    code, said = _shell("rollback", MODEL, "--by", "mara", "--reason", "alarms at night", *where)
    assert (code, Registry(place).open_champion(MODEL).sha256) == (0, champion.sha256)
    assert champion.sha256[:12] in said
    assert _events(place)[-1] == ("rolled_back", "mara", "alarms at night")
    assert _shell("reject", MODEL, *where)[0] == 2
    code, said = _shell("history", MODEL, *where)
    assert (code, "alarms at night" in said) == (0, True)
