"""Somebody at the pages of the server, in Chromium: is refused, trains, reads the scorecard, approves a candidate."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from models.artifacts.workspace import Workspace
from models.serving.registry import Registry
from tests.pictures import write_labelled
from tests.server.site import Site
from tests.server.test_chain import MODEL, QUICK

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [pytest.mark.server, pytest.mark.skipif(BROWSER is None, reason="needs Chromium: apt install chromium")]
# Where the pictures in docs/ come from: SORTLINE_SCREENSHOTS=docs/screenshots make server
_SHOTS = os.environ.get("SORTLINE_SCREENSHOTS")
_PATIENCE_MS = 60_000


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    home = tmp_path_factory.mktemp("site")
    write_labelled(home / "labelled", {"down": 80, "round": 60, "side": 60})
    (home / "inbox").mkdir()
    running = Site(home)
    running.start()
    running.set_parameters("train", QUICK)
    yield running
    running.stop()


@pytest.fixture
def page() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        opened = browser.new_page(viewport={"width": 1280, "height": 900})
        opened.set_default_timeout(_PATIENCE_MS)
        yield opened
        browser.close()


def test_train_read_the_scorecard_and_approve(site: Site, page: Any) -> None:
    form = f"{site.address}/deployments/deployment/{site.deployment('train')['id']}/run"
    page.goto(form)
    near_copies = page.locator("input[type=number]").first
    near_copies.wait_for()
    # The form takes its defaults a moment after it is shown, and would write over what came before.
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(2000)
    near_copies.fill("99")
    page.get_by_role("button", name="Submit").click()
    page.get_by_text("99 is greater than the maximum of 16").first.wait_for()
    _shoot(page, "refused")
    assert site.runs("train") == [], "nothing was started"

    near_copies.fill("4")
    _shoot(page, "form")
    page.get_by_role("button", name="Submit").click()
    page.wait_for_url("**?tab=Runs")
    (run,) = site.wait_for_runs("train", 1)
    page.goto(f"{site.address}/runs/flow-run/{run['id']}")
    page.get_by_text("Completed").first.wait_for()
    _shoot(page, "run")
    scorecard = site.artifacts(run["id"])[f"scorecard-{MODEL}"]
    page.goto(f"{site.address}/artifacts/artifact/{scorecard['id']}")
    page.get_by_text("balanced accuracy").first.wait_for()
    assert page.locator("img[alt='recall and precision']").evaluate("picture => picture.naturalWidth") == 640
    _shoot(page, "scorecard")

    registry = Registry(Workspace.open(site.workspace))
    assert [event.event for event in registry.history(MODEL)] == ["candidate"], "it waits for a person"
    page.goto(f"{site.address}/deployments/deployment/{site.deployment('approve')['id']}/run")
    page.get_by_text("Who decides").first.wait_for()
    page.wait_for_timeout(2000)
    _fill(page, "name", MODEL)
    _fill(page, "by", "a.person")
    _fill(page, "reason", "looks right")
    _choose_first(page, "decision", "approve")
    _shoot(page, "approve")
    page.get_by_role("button", name="Submit").click()
    page.wait_for_url("**?tab=Runs")
    site.wait_for_runs("approve", 1)
    promoted = registry.history(MODEL)[-1]
    assert (promoted.event, promoted.by, promoted.reason) == ("promoted", "a.person", "looks right")


def _field(page: Any, title: str) -> Any:
    label = page.locator(".schema-form-property__label", has_text=re.compile(rf"^{title}( \(Optional\))?$"))
    return page.locator(".schema-form-property").filter(has=label).first.locator(".p-label__body")


def _fill(page: Any, title: str, text: str) -> None:
    _field(page, title).locator("textarea").first.fill(text)


def _choose_first(page: Any, title: str, value: str) -> None:
    field = _field(page, title)
    field.locator("button").first.click()
    # The list takes keys once it is drawn.
    page.wait_for_timeout(1000)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_timeout(1000)
    assert field.inner_text() == value


def _shoot(page: Any, name: str) -> None:
    if _SHOTS:
        Path(_SHOTS).mkdir(parents=True, exist_ok=True)
        page.wait_for_timeout(1000)
        page.screenshot(path=str(Path(_SHOTS) / f"{name}.png"))
