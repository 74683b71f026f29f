"""Plots of judged numbers: well-formed, drawn where their values are, and empty where there is nothing to draw."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from models.artifacts.judging_records import Measure, RiskPoint
from models.artifacts.records import ReliabilityBin
from models.reports.plots import interval_mark, reliability_diagram, risk_coverage_plot

_SVG = "{http://www.w3.org/2000/svg}"


def _found(picture: str, name: str) -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(picture).iter(f"{_SVG}{name}"))


@pytest.mark.parametrize(("value", "x"), [(0.0, "6.0"), (0.5, "55.0"), (1.0, "104.0"), (1.7, "104.0")])
def test_dot_stands_at_its_value(value: float, x: str) -> None:
    assert [dot.get("cx") for dot in _found(interval_mark(Measure(value=value, rows=9)), "circle")] == [x]


def test_interval_and_reference_are_drawn_where_they_are_known() -> None:
    bare = interval_mark(Measure(value=0.5, rows=9))
    whole = interval_mark(Measure(value=0.5, low=0.25, high=1.0, rows=9), reference=0.75)
    assert len(_found(bare, "path")) == 3, "the line and its two ends"
    assert "M30.5 9H104.0" in whole
    assert "M79.5 0V18" in whole
    assert 'aria-label="0.500, 0.250 to 1.000"' in whole


def test_bar_is_as_high_as_the_share_that_was_right() -> None:
    bins = [ReliabilityBin(low=0.5, high=1.0, rows=9, mean_score=0.75, share_right=share) for share in (0.5, 1.0)]
    paper, half, full = _found(reliability_diagram(bins, "right"), "rect")
    assert float(full.get("height", 0)) == 2 * float(half.get("height", 0)) == 214
    assert (half.get("x"), half.get("width")) == ("180.0", "125.0")
    assert paper.get("fill") == "#fff"
    assert "share right" in reliability_diagram(bins, "right")


def test_curve_of_risk_marks_what_was_chosen_and_what_was_measured() -> None:
    points = [RiskPoint(coverage=0.5, risk=0.0), RiskPoint(coverage=1.0, risk=0.04)]
    picture = risk_coverage_plot(points, points[0], RiskPoint(coverage=0.5, risk=0.05))
    assert 'd="M179.0 228.0L306.0 56.8h.1"' in picture, "the top of the plot is the next round risk, 0.05"
    assert [(dot.get("cx"), dot.get("cy")) for dot in _found(picture, "circle")] == [
        ("179.0", "228.0"),
        ("179.0", "14.0"),
    ]
    assert not _found(risk_coverage_plot(points), "circle")
    assert "0.025" in [text.text for text in _found(picture, "text")]


def test_nothing_is_drawn_of_nothing() -> None:
    assert interval_mark(Measure(value=None, rows=0)) == ""
    assert reliability_diagram([], "right") == ""
    assert risk_coverage_plot([]) == ""
