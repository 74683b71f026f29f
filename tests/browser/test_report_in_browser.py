"""The run report in Chromium, on a phone and on a desk: nothing runs, nothing is fetched, nothing is cut off."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from models.reports.run_report import render_report
from tests.browser.chromium import BROWSER, Chromium, Look, running_chromium
from tests.judging_examples import run_records

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(BROWSER is None, reason="needs Chromium"),
]
WINDOWS = ((360, 740), (1280, 900))
PLAIN = tuple(f"class {k}" for k in range(12))
HOSTILE = (
    "<script>alert(1)</script>",
    '"quo\'te" onmouseover=alert(1)',
    "\u202egnp.exe",
    "x" * 120,
    "{{7*7}}",
    "line\nbreak",
    "</td></table></svg>",
)
HOSTILE_PATHS = ("<img src=x onerror=alert(1)>.png", "\u202egnp.png", "y" * 200 + ".png", "q'\"uote.png")
# Wide, with a script, a picture that is none, small letters, a heading that nobody sees and a low link.
BROKEN = """<!doctype html><meta name="viewport" content="width=device-width"><h1 style="display:none">gone</h1>
<div style="width:2000px">wide</div><img src="missing.png" alt="lost"><a href="#" style="font-size:9px">low</a>
<script>alert(1); console.error("loud")</script>"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    with running_chromium(tmp_path_factory.mktemp("profile")) as started:
        yield started


def _faults(look: Look, width_px: int) -> list[str]:
    """What a reader would complain about."""
    page = look.page
    asked = {
        "wider than the window": page["scroll_width_px"] > width_px,
        "broken pictures": bool(page["broken_pictures"]),
        "hidden headings": bool(page["hidden_headings"]),
        "small letters": page["smallest_font_px"] < 14,
        "low links": bool(page["low_links"]),
        "said something": bool(look.said),
        "asked for something": len(look.requests) > 1,
        "has a script": page["scripts"] > 0,
    }
    return [name for name, is_so in asked.items() if is_so]


@pytest.mark.parametrize(("width_px", "height_px"), WINDOWS)
@pytest.mark.parametrize(("classes", "paths"), [(PLAIN, ("a.png", "b.png")), (HOSTILE, HOSTILE_PATHS)])
def test_report_is_whole_and_silent(
    browser: Chromium, tmp_path: Path, classes: tuple[str, ...], paths: tuple[str, ...], width_px: int, height_px: int
) -> None:
    page = tmp_path / "report.html"
    page.write_text(render_report(run_records(tmp_path, classes, paths)))
    look = browser.look(page, width_px, height_px)
    assert _faults(look, width_px) == [], (look.page, look.said, look.requests)
    assert look.requests == [page.as_uri()]
    assert look.page["pictures"] == 4 * len(paths), "worst mistakes and suspects, each with what the model looked at"
    assert {"examples", "Worst mistakes", "Each class", "Slices", "Certainty"} <= set(look.page["headings"])


@pytest.mark.parametrize(("width_px", "height_px"), WINDOWS)
def test_every_fault_of_a_page_is_found(browser: Chromium, tmp_path: Path, width_px: int, height_px: int) -> None:
    page = tmp_path / "broken.html"
    page.write_text(BROKEN)
    look = browser.look(page, width_px, height_px)
    assert len(_faults(look, width_px)) == 8, look
    assert {"dialog: 1"} <= set(look.said)
