"""The review page in Chromium: a person says what pictures show, saves it, and the next manifest knows it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from models.artifacts.tables import REVIEW, table_of
from models.data.corrections import keep_corrections, read_corrections
from models.data.listing import listing_table
from models.data.scan import ScanSettings, scan_folder
from models.reports.review_page import write_review_page
from tests.browser.chromium import BROWSER
from tests.pictures import draw

playwright = pytest.importorskip("playwright.sync_api")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(BROWSER is None, reason="needs Chromium"),
]
HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for name in ("down/a.png", f"down/{HOSTILE}.png", "side/b.png"):
        (tmp_path / "pictures" / name).parent.mkdir(parents=True, exist_ok=True)
        draw("down", rng).save(tmp_path / "pictures" / name)
    return tmp_path / "pictures"


@pytest.fixture
def page_path(folder: Path, tmp_path: Path) -> Path:
    manifest = scan_folder(folder, listing_table(folder), ScanSettings()).to_pylist()
    told = {"score": 0.6, "doubt": 0.4, "reasons": ["label doubted"], "suggested_label": "down"}
    keep = ("image_id", "path", "path_bytes", "label")
    rows = [{"rank": k + 1, **told, **{n: row[n] for n in keep}} for k, row in enumerate(manifest)]
    write_review_page(tmp_path / "review.html", folder, table_of(rows, REVIEW), ["down", HOSTILE], HOSTILE)
    return tmp_path / "review.html"


@pytest.fixture
def page(page_path: Path) -> Iterator[object]:
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        opened = browser.new_context(accept_downloads=True).new_page()
        said: list[str] = []
        opened.on("pageerror", lambda error: said.append(str(error)))
        opened.on("dialog", lambda dialog: said.append(dialog.message))
        opened.goto(page_path.as_uri())
        yield opened
        browser.close()
        assert said == []


@pytest.mark.parametrize("button", ["#save-json", "#save-csv"])
def test_what_is_said_is_in_the_next_manifest(page: object, folder: Path, tmp_path: Path, button: str) -> None:
    from playwright.sync_api import Page

    assert isinstance(page, Page)
    cards = page.locator("figure")
    assert page.locator("#done").text_content() == "0 of 3"
    page.fill("#by", "Ann, night shift")
    by_path = {cards.nth(k).get_attribute("data-path"): cards.nth(k) for k in range(3)}
    by_path["down/a.png"].locator("select").select_option("another")
    by_path["down/a.png"].locator("input").fill('new "class"')
    by_path[f"down/{HOSTILE}.png"].locator("select").select_option("leave out")
    by_path["side/b.png"].focus()
    page.keyboard.press("1")
    assert page.locator("#done").text_content() == "3 of 3"
    page.reload()
    assert page.locator("#done").text_content() == "3 of 3", "what was said outlives the page"
    with page.expect_download() as download:
        page.click(button)
    target = tmp_path / download.value.suggested_filename
    download.value.save_as(target)
    assert keep_corrections(folder, read_corrections(target)) == 3
    found = {row["path"]: row for row in scan_folder(folder, listing_table(folder), ScanSettings()).to_pylist()}
    assert found["down/a.png"]["label"] == 'new "class"'
    assert found["down/a.png"]["label_source"].startswith("review Ann, night shift 20")
    assert found["side/b.png"]["label"] == "down"
    left_out = found[f"down/{HOSTILE}.png"]
    assert (left_out["status"], left_out["reason"]) == ("ignored", "reviewed_out")
