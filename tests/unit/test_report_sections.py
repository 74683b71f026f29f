"""What a report says of a model that was judged in full, and that it leaves out what is not known."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from models.artifacts.records import Finding, Mistake, Verdict
from models.reports.page import visible_text
from models.reports.run_report import RunRecords, chosen_point, measured_point, render_report, slice_groups
from tests.judging_examples import answer_detail, answer_rules, details, run_records

CLASSES = ("ok", "crack", "dent", "hole")
_BASE64 = re.compile(r"data:image/jpeg;base64,[A-Za-z0-9+/=]+")
_MOST_BYTES = 3_000_000


@pytest.fixture
def records(tmp_path: Path) -> RunRecords:
    return run_records(tmp_path, CLASSES, ("a.png", "b.png"))


def _section(page: str, name: str) -> str:
    start = page.index(f'<section id="{name}">')
    return page[start : page.index("</section>", start)]


def _accepted() -> Verdict:
    passed = Finding(rule="r", severity="critical", outcome="passed", observed="1", limit="0")
    return Verdict(subject="candidate", findings=(passed,))


def test_questions_are_answered_in_the_order_a_reader_asks_them(records: RunRecords) -> None:
    page = render_report(records)
    parts = (
        "mistakes",
        "classes",
        "slices",
        "certainty",
        "answers",
        "robustness",
        "deployment",
        "learning",
        "data",
        "card",
    )
    places = [page.index(f'<section id="{name}">') for name in parts]
    assert page.index("Refused") < page.index("0.720 to 0.820") < places[0]
    assert places == sorted(places)


def test_every_link_leads_to_a_part(records: RunRecords) -> None:
    for page in (render_report(records), render_report(_older(records))):
        links = re.findall(r'href="#(\w+)"', page)
        assert len(links) >= 7
        assert all(f'<section id="{name}">' in page for name in links)


def test_mistakes_have_the_picture_and_what_the_model_looked_at(records: RunRecords) -> None:
    mistakes = _section(render_report(records), "mistakes")
    assert mistakes.count("what the model looked at in a.png") == 2, "as a worst mistake and as a suspect"
    assert len(set(_BASE64.findall(mistakes))) == 4
    assert "is ok, got hole at 0.987" in mistakes
    assert "filed as ok, more like hole at 0.987" in mistakes
    assert '<td>ok</td><td class="text">crack</td><td>9</td><td>0.225</td>' in mistakes
    bare = _section(render_report(records._replace(overlays={}, label_errors=())), "mistakes")
    assert "where the model looked" not in bare
    assert "Suspected" not in bare


def test_a_picture_that_is_gone_is_said_to_be_gone(records: RunRecords) -> None:
    assert "no picture any more" not in render_report(records)
    (records.folder / "a.png").unlink()
    assert _section(render_report(records), "mistakes").count("no picture any more") == 2


def test_only_so_many_suspects_are_shown_and_the_page_says_so(records: RunRecords) -> None:
    suspect = Mistake(path="a.png", label="ok", predicted="hole", score=0.9)
    page = render_report(records._replace(label_errors=(suspect,) * 30))
    assert page.count("filed as ok") == 24
    assert "The first 24 of 30." in page


def test_class_with_few_pictures_is_told_from_one_with_enough(records: RunRecords) -> None:
    rows = re.findall(r"<tr><td>(ok|crack|dent|hole)(.*?)</tr>", _section(render_report(records), "classes"), re.DOTALL)
    said = dict(rows[: len(CLASSES)])
    assert "too few pictures to say" in said["dent"]
    assert "too few pictures to say" not in said["ok"]
    assert '0.800 <span class="quiet interval">(0.642 to 0.958)</span>' in said["ok"]
    assert '12 <span class="quiet">few</span>' in said["dent"]


def test_slice_whose_interval_lies_below_all_pictures_is_marked(records: RunRecords) -> None:
    slices = _section(render_report(records), "slices")
    assert slices.count("worse than all") == 1
    assert re.search(r"<td>very<br><span class=\"failed\">worse than all", slices)
    assert slices.count('class="mark"') == 5


def test_certainty_has_all_its_measures(records: RunRecords) -> None:
    certainty = _section(render_report(records), "certainty")
    for name in (
        "expected calibration error",
        "adaptive calibration error",
        "log loss",
        "Brier score",
        "Scale of each class",
    ):
        assert name in certainty
    assert "Temperature 1.310" in certainty
    assert 'class="plot"' in certainty


def test_answers_say_where_calibration_pictures_lack_and_where_coverage_does(records: RunRecords) -> None:
    answers = _section(render_report(records), "answers")
    rows = dict(re.findall(r"<tr><td>(\w+)(.*?)</tr>", answers, re.DOTALL)[: len(CLASSES)])
    assert "below what was asked for" in rows["ok"]
    assert "pooled with rare classes" in rows["crack"]
    assert "not enough calibration pictures" in rows["dent"]
    assert "below what" not in rows["hole"]
    assert "risk by coverage, 20 points" in answers
    assert "By construction 0.050 of known pictures" in answers


def test_model_that_answers_everything_says_so(records: RunRecords) -> None:
    rules = answer_rules(CLASSES, max_abstention=None)
    page = render_report(records._replace(card=records.card.model_copy(update={"answers": rules})))
    assert "It answers every picture" in page
    assert "It answers every picture" not in render_report(records)


def test_chosen_point_is_the_one_nearest_to_the_coverage_of_the_rules() -> None:
    chosen = chosen_point(answer_rules(CLASSES))
    assert chosen is not None
    assert chosen.coverage == 0.8
    assert chosen_point(answer_rules(CLASSES, max_abstention=None)) is None
    assert chosen_point(None) is None
    measured = measured_point(answer_detail(CLASSES))
    assert measured is not None
    assert (measured.coverage, measured.risk) == (0.8, 0.06)
    assert measured_point(None) is None


def test_slices_are_grouped_by_their_column() -> None:
    groups = slice_groups(details(CLASSES))
    assert [(column, len(parts)) for column, parts in groups] == [("blur", 3), ("camera", 2)]
    assert slice_groups(None) == []


@pytest.mark.parametrize("waits", [True, False])
def test_model_that_waits_for_a_person_is_not_called_ready(records: RunRecords, waits: bool) -> None:
    page = render_report(records._replace(gate_verdict=_accepted(), waits_for_approval=waits))
    assert ("waits for a person to approve it" in page) == waits
    assert ("Accepted by every critical gate.</p>" in page) != waits
    assert "waits for a person" not in render_report(records._replace(waits_for_approval=True)), "it is refused"


def test_stated_prior_and_costs_are_told(records: RunRecords) -> None:
    page = render_report(records)
    assert "balanced accuracy under the stated prior" in page
    assert "0.317" in _section(page, "deployment")


def _older(records: RunRecords) -> RunRecords:
    """As from a bundle that was made before there were details, answers and what else a report can tell."""
    return records._replace(
        card=records.card.model_copy(update={"answers": None, "epochs": (), "candidates": ()}),
        scorecard=records.scorecard.model_copy(update={"details": None, "answers": None}),
        robustness=None,
        label_errors=(),
        overlays={},
    )


def test_report_of_an_older_bundle_leaves_out_what_it_does_not_know(records: RunRecords) -> None:
    page = render_report(_older(records))
    for name in ("slices", "answers", "robustness", "deployment", "inbox"):
        assert f'<section id="{name}">' not in page
    assert "None" not in _BASE64.sub("", page).replace("<p>None.</p>", "")
    assert "<td>ok</td><td>40</td><td>0.800</td><td>0.700</td><td>0.745</td>" in page


def test_card_is_there_in_full(records: RunRecords) -> None:
    card = _section(render_report(records), "card")
    assert records.card.data_sha256 in card
    assert "&#34;effective_prior&#34;" in card
    assert "lost too much" in card


def test_marks_of_writing_direction_are_written_out(records: RunRecords) -> None:
    card = records.card.model_copy(update={"name": "\u202egnp.exe"})
    page = render_report(records._replace(card=card))
    assert "\u202e" not in page
    assert "<h1>\\u202egnp.exe</h1>" in page
    assert visible_text("Zürich \u2066a") == "Zürich \\u2066a"


def test_report_of_twelve_classes_is_small_enough_to_send(tmp_path: Path) -> None:
    classes, paths = [f"class {k}" for k in range(12)], [f"{k}.png" for k in range(12)]
    assert len(render_report(run_records(tmp_path, classes, paths)).encode()) < _MOST_BYTES
