from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import pytest

from models.artifacts.records import Finding, Mistake, Verdict
from models.artifacts.tables import MANIFEST, SPLIT, table_of
from models.artifacts.workspace import Workspace
from models.data.resample import ResamplingSettings, plan_resampling
from models.data.scan import ScanSettings
from models.reports.run_report import RunRecords, render_report
from models.serving.bundle import Bundle
from tests.conftest import NOW
from tests.pictures import write_labelled
from validation.audit import AuditRequest, audit_folder
from validation.suites import ValidationSettings

NASTY = "<img src=x onerror=alert(1)>{{7*7}}.png"


class _Elements(HTMLParser):
    """Names of elements, and every address that a browser would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data")]
        assert not [name for name, _ in attrs if name.startswith("on")]


def _elements(page: str) -> _Elements:
    found = _Elements()
    found.feed(page)
    return found


@pytest.fixture
def page(champion: Bundle, tmp_path: Path) -> str:
    finding = Finding(rule="r", severity="info", outcome="failed", observed="1", limit="0", items=(NASTY,))
    against = finding.model_copy(update={"rule": "no_luck", "severity": "critical"})
    mistake = Mistake(path=NASTY, label="down", predicted="side", score=0.987)
    rows = [{"path": NASTY, "label": "down", "status": "ok", "split": "train"}]
    return render_report(
        RunRecords(
            folder=tmp_path,
            card=champion.card,
            scorecard=champion.scorecard.model_copy(update={"worst_mistakes": (mistake,)}),
            manifest=table_of(rows, MANIFEST),
            split=table_of(rows, SPLIT),
            plan=plan_resampling(table_of(rows, SPLIT), ResamplingSettings()),
            data_verdict=Verdict(subject="manifest", findings=(finding,)),
            split_verdict=Verdict(subject="split", findings=(finding,)),
            gate_verdict=Verdict(subject="candidate", findings=(finding, against)),
        )
    )


def test_page_asks_nobody_for_anything_and_runs_nothing(page: str) -> None:
    elements = _elements(page)
    assert not elements.names & {"script", "iframe", "link", "object", "embed", "form"}
    assert all(address == "" or address.startswith("data:image/jpeg;base64,") for address in elements.addresses)
    assert "default-src 'none'" in page


def test_names_from_outside_are_shown_as_they_are(page: str) -> None:
    assert "<img src=x" not in page
    assert "&lt;img src=x onerror=alert(1)&gt;{{7*7}}.png" in page


def test_refusal_stands_at_the_top(page: str) -> None:
    assert page.index("<b>Refused</b> by no_luck") < page.index("macro-F1")


def test_numbers_on_the_page_are_those_of_the_scorecard(page: str, champion: Bundle) -> None:
    for scores in (champion.scorecard.served, champion.scorecard.uncorrected):
        for interval in (scores.macro_f1, scores.balanced_accuracy, scores.accuracy):
            assert f"{interval.value:.3f}" in page
    for row in champion.scorecard.served.confusion:
        for count in row:
            assert f">{count}</td>" in page
    assert "is down, got side at 0.987" in page


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder with nasty names, two classes for one picture and a broken file, and the page about it."""
    folder = write_labelled(tmp_path_factory.mktemp("f"), {"down": 25, "side": 25})
    (folder / "down" / NASTY).write_bytes((folder / "side" / "0003.png").read_bytes())
    (folder / "side" / "=broken|1.png").write_bytes(b"no picture")
    workspace = Workspace.open(tmp_path_factory.mktemp("w"))
    request = AuditRequest(folder, "", ScanSettings(), ValidationSettings())
    refs = audit_folder(request, workspace, NOW, lambda stage, done, total: None)
    return refs.report.path, refs.report.path.read_text()


def test_audit_page_shows_offenders_with_thumbnails_and_what_to_do(audited: tuple[Path, str]) -> None:
    _, page = audited
    elements = _elements(page)
    assert "<b>Refused</b> by one_label_a_picture" in page
    assert "Decide for one, and quarantine the other." in page
    assert "<h2>one_label_a_picture: 2</h2>" in page
    assert sum(address.startswith("data:image/jpeg;base64,") for address in elements.addresses) >= 4
    assert "not_an_image" in page
    assert page.count("Not asked: labels_match_champion (there is no champion yet)") == 1


def test_audit_page_runs_nothing_and_escapes_names(audited: tuple[Path, str]) -> None:
    _, page = audited
    elements = _elements(page)
    assert not elements.names & {"script", "iframe", "link", "object", "embed", "form"}
    assert all(address.startswith("data:image/jpeg;base64,") for address in elements.addresses)
    assert "<img src=x" not in page
    assert "&lt;img src=x onerror=alert(1)&gt;{{7*7}}.png" in page
