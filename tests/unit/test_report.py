from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import pytest

from models.artifacts.records import Correction, EpochRecord, Finding, Mistake, ModelCard, Trial, Verdict
from models.artifacts.tables import MANIFEST, SPLIT, table_of
from models.artifacts.workspace import Workspace
from models.data.resample import ResamplingSettings, plan_resampling
from models.data.scan import ScanSettings
from models.reports.run_report import RunRecords, render_report, shown_trials
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
    return _page_of(champion.card, champion, tmp_path)


def _page_of(card: ModelCard, champion: Bundle, folder: Path) -> str:
    finding = Finding(rule="r", severity="info", outcome="failed", observed="1", limit="0", items=(NASTY,))
    against = finding.model_copy(update={"rule": "no_luck", "severity": "critical"})
    mistake = Mistake(path=NASTY, label="down", predicted="side", score=0.987)
    rows = [{"path": NASTY, "label": "down", "status": "ok", "split": "train"}]
    return render_report(
        RunRecords(
            folder=folder,
            card=card,
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
    assert all(address.startswith(("#", "data:image/jpeg;base64,")) for address in elements.addresses)
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


def _card(champion: Bundle, **changes: object) -> ModelCard:
    """The champion's card, as of a training whose tries and epochs are known."""
    tried = [
        Trial(regularisation=decay, correction="tau_norm", correction_strength=strength, objective=0.5 + strength / 10)
        for decay in (0.001, 0.01)
        for strength in (0.0, 0.5)
    ]
    correction = Correction(
        objective_name="macro_f1",
        imbalance="tau_norm",
        name="tau_norm",
        regularisation=0.01,
        strength=0.5,
        log_offset=champion.card.correction.log_offset,
        trials=tuple(tried),
    )
    epoch = EpochRecord(epoch=0, train_loss=0.9, train_accuracy=0.4, tune_loss=0.8, tune_objective=0.55)
    known: dict[str, object] = {
        "learner": "fine_tune",
        "learner_reason": "there is a GPU",
        "correction": correction,
        "epochs": (epoch,),
        "notes": (f"memory ran out <{NASTY}>",),
    }
    return champion.card.model_copy(update=known | changes)


def test_page_tells_how_the_model_learned(champion: Bundle, tmp_path: Path) -> None:
    page = _page_of(_card(champion), champion, tmp_path)
    section = page[page.index("<h2>How it learned</h2>") : page.index("<h2>With and without")]
    assert "Learner: fine tune (there is a GPU). Imbalance setting: tau norm." in section
    assert "the correction tau norm at strength 0.5 and weight decay 0.01, for macro_f1" in section
    assert section.count("<td>tau norm</td>") == 4
    assert section.count(">chosen<") == 1
    assert '<td>0.5</td><td>0.01</td><td>0.550</td><td class="text">chosen</td>' in section
    assert "memory ran out &lt;&lt;img" in section
    assert "learning curves of 1 epochs; epoch 1 was kept" in section
    assert not _elements(page).names & {"script", "image", "use", "foreignobject"}


@pytest.mark.parametrize(
    ("train", "tune", "is_flagged"), [(0.97, 0.70, True), (0.85, 0.70, False), (0.6, 0.7, False), (None, 0.7, None)]
)
def test_gap_between_train_and_tune_is_flagged_where_it_is_wide(
    champion: Bundle, tmp_path: Path, train: float | None, tune: float, is_flagged: bool | None
) -> None:
    page = _page_of(_card(champion, train_objective=train, tune_objective=tune), champion, tmp_path)
    assert ("on train and 0.700 on tune" in page) == (is_flagged is not None)
    flag = "learned by heart: gap 0.27; more pictures, augmentation or weight decay"
    assert (flag in page) == bool(is_flagged)
    assert ("learned by heart" in page) == bool(is_flagged)


def test_nothing_is_shown_of_what_is_not_known(champion: Bundle, tmp_path: Path) -> None:
    correction = _card(champion).correction.model_copy(update={"regularisation": None, "trials": ()})
    bare = _card(champion, correction=correction, epochs=(), notes=(), learner_reason="", train_objective=None)
    page = _page_of(bare, champion, tmp_path)
    section = page[page.index("<h2>How it learned</h2>") : page.index("<h2>With and without")]
    assert "Learner: fine tune. Imbalance" in section
    assert "None" not in section
    assert "weight decay" not in section
    for tag in ("<svg", "<table", "<ul"):
        assert tag not in section


def test_at_most_forty_tries_are_shown_and_the_chosen_one_among_them(champion: Bundle) -> None:
    one = Trial(regularisation=None, correction="none", correction_strength=0.0, objective=0.1)
    better = [one.model_copy(update={"correction_strength": k / 100, "objective": 0.5}) for k in range(1, 60)]
    few = _card(champion).correction
    many = few.model_copy(update={"trials": (one, *better), "name": "none", "regularisation": None, "strength": 0.0})
    assert len(shown_trials(few)) == 4
    shown = shown_trials(many)
    assert len(shown) == 40
    assert [trial for trial, is_chosen in shown if is_chosen] == [one]


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
