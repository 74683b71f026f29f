"""Pictures of what a model looked at: figures for a report, and a page of its own. Opens offline."""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from models.data.listing import safe_name
from models.judging.explain import Explanation
from models.judging.overlay import OVERLAY_PX
from models.reports.page import page_environment, picture_address


class ShownExplanation(NamedTuple):
    """An explanation with its pictures as data addresses; both are empty where there is no map."""

    name: str
    explanation: Explanation
    picture: str
    overlay: str


class ExplanationPage(NamedTuple):
    """What the page is made from.

    Attributes:
        chosen: how the pictures were chosen, as the end of a sentence.
    """

    model_name: str
    bundle_sha256: str
    folder: Path
    chosen: str
    shown: Sequence[ShownExplanation]


def render_explanations(page: ExplanationPage) -> str:
    """Self-contained HTML: no script, no request, every name escaped."""
    template = page_environment().get_template("explanations_page.html")
    return template.render({**page._asdict(), "folder": safe_name(str(page.folder))[0]})


def shown_explanations(explanations: Sequence[Explanation], folder: Path) -> list[ShownExplanation]:
    """What the macro `explanation_figures` draws, by names relative to the folder."""
    return [
        ShownExplanation(
            safe_name(os.path.relpath(found.path, folder))[0],
            found,
            picture_address(found.picture, OVERLAY_PX) if found.picture is not None else "",
            png_address(found.overlay) if found.overlay else "",
        )
        for found in explanations
    ]


def png_address(png: bytes) -> str:
    """A data address of a PNG."""
    return "data:image/png;base64," + base64.b64encode(png).decode()
