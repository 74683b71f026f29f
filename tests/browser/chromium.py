"""A headless Chromium on the two pipes of its DevTools protocol: opens a page and tells what came of it."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
# Only a browser that hangs is stopped by it; a page takes a second.
_PATIENCE_S = 120
_FLAGS = (
    "--headless=new",
    "--no-sandbox",  # tests may run as root, for whom Chromium has no sandbox
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--remote-debugging-pipe",
)
# What a reader would see of it, as one JSON object.
_LOOK = """(() => {
  const all = [...document.querySelectorAll('body *')];
  const ownText = e => [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
  return {
    scroll_width_px: document.scrollingElement.scrollWidth,
    broken_pictures: [...document.images].filter(i => !(i.complete && i.naturalWidth > 0)).map(i => i.alt),
    pictures: document.images.length,
    hidden_headings: [...document.querySelectorAll('h1, h2')]
      .filter(h => !h.checkVisibility() || h.getBoundingClientRect().width < 40).map(h => h.textContent),
    headings: [...document.querySelectorAll('h1, h2')].map(h => h.textContent),
    smallest_font_px: Math.min(...all.filter(e => !e.closest('svg') && ownText(e))
      .map(e => parseFloat(getComputedStyle(e).fontSize))),
    low_links: [...document.querySelectorAll('a, summary')].filter(e => e.checkVisibility())
      .filter(e => e.getBoundingClientRect().height < 40).map(e => e.textContent),
    scripts: document.scripts.length,
  };
})()"""


class Look(NamedTuple):
    """What a browser made of a page.

    Attributes:
        page: sizes, pictures and headings as found in the document.
        said: errors and messages of the console, and dialogs.
        requests: addresses that were asked for, data addresses aside.
    """

    page: dict[str, Any]
    said: list[str]
    requests: list[str]


class Chromium:
    """One running browser."""

    def __init__(self, commands: int, answers: int) -> None:
        self._commands, self._answers = commands, answers
        self._number, self._rest, self._events = 0, b"", list[dict[str, Any]]()

    def look(self, path: Path, width_px: int, height_px: int) -> Look:
        """A page in a window of that size, a narrow one as on a phone."""
        target = self._ask("Target.createTarget", url="about:blank")["targetId"]
        session = self._ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._ask(f"{domain}.enable", session)
        size = {"width": width_px, "height": height_px, "deviceScaleFactor": 1, "mobile": width_px < 600}
        self._ask("Emulation.setDeviceMetricsOverride", session, **size)
        self._events.clear()
        self._ask("Page.navigate", session, url=path.as_uri())
        self._wait("Page.loadEventFired", session)
        # Closed details hold pictures and tables too.
        opened = "document.querySelectorAll('details').forEach(d => { d.open = true; })"
        self._ask("Runtime.evaluate", session, expression=opened)
        found = self._ask("Runtime.evaluate", session, expression=_LOOK, returnByValue=True)
        self._ask("Target.closeTarget", targetId=target)
        page = found["result"]["value"]
        return Look(page, list(_said(self._events)), list(_requests(self._events)))

    def close(self) -> None:
        """Asks it to end."""
        self._send("Browser.close", None, {})

    def _ask(self, method: str, session: str | None = None, **parameters: object) -> dict[str, Any]:
        number = self._send(method, session, parameters)
        while True:
            message = self._receive()
            if message.get("id") == number:
                assert "error" not in message, message
                return dict(message["result"])
            self._keep(message)

    def _wait(self, method: str, session: str) -> None:
        while not any(event.get("method") == method and event.get("sessionId") == session for event in self._events):
            self._keep(self._receive())

    def _keep(self, message: dict[str, Any]) -> None:
        self._events.append(message)
        if message.get("method") == "Page.javascriptDialogOpening":
            self._send("Page.handleJavaScriptDialog", message["sessionId"], {"accept": True})

    def _send(self, method: str, session: str | None, parameters: dict[str, Any]) -> int:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        os.write(self._commands, json.dumps(message | ({"sessionId": session} if session else {})).encode() + b"\0")
        return self._number

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            assert select.select([self._answers], [], [], _PATIENCE_S)[0], "the browser does not answer"
            read = os.read(self._answers, 1 << 20)
            assert read, "the browser has ended"
            self._rest += read
        line, self._rest = self._rest.split(b"\0", 1)
        return dict(json.loads(line))


@contextmanager
def running_chromium(profile: Path) -> Iterator[Chromium]:
    """A browser of its own, which ends with the block."""
    commands_read, commands = os.pipe()
    answers, answers_write = os.pipe()
    # The protocol is on descriptors 3 and 4; Bash puts ours there, where dash takes no number of two digits.
    start = f'exec "$0" "$@" 3<&{commands_read} 4>&{answers_write}'
    arguments = ["bash", "-c", start, str(BROWSER), *_FLAGS, f"--user-data-dir={profile}"]
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(arguments, pass_fds=(commands_read, answers_write), stdout=quiet, stderr=quiet)
    os.close(commands_read)
    os.close(answers_write)
    browser = Chromium(commands, answers)
    try:
        yield browser
    finally:
        _end(process, browser)
        os.close(commands)
        os.close(answers)


def _end(process: subprocess.Popen[bytes], browser: Chromium) -> None:
    try:
        browser.close()
        process.wait(10)
    except (OSError, subprocess.TimeoutExpired):
        process.kill()
        process.wait()


def _said(events: list[dict[str, Any]]) -> Iterator[str]:
    for event in events:
        parameters = event.get("params", {})
        match event.get("method"):
            case "Runtime.consoleAPICalled":
                yield f"console: {parameters['args']}"
            case "Runtime.exceptionThrown":
                yield f"exception: {parameters['exceptionDetails']['text']}"
            case "Log.entryAdded":
                yield f"log: {parameters['entry']['text']}"
            case "Page.javascriptDialogOpening":
                yield f"dialog: {parameters['message']}"


def _requests(events: list[dict[str, Any]]) -> Iterator[str]:
    for event in events:
        if event.get("method") == "Network.requestWillBeSent":
            address = str(event["params"]["request"]["url"])
            if not address.startswith("data:"):
                yield address
