"""The review queue as one page: pictures, what the model says, and a word of one's own on each. Works offline.

What a person chooses stays in the page until it is saved: as JSON or CSV, which `sortline corrections` reads.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from models.artifacts.durable import write_durably
from models.data.decode import read_picture
from models.data.limits import DecodeLimits
from models.data.listing import file_name
from models.errors import UnreadableImage
from models.reports.page import page_environment, picture_address

SIDE_PX = 280


class Card(NamedTuple):
    """One picture of the page; `picture` is a data address, empty where the file is no picture any more."""

    rank: int
    image_id: str
    path: str
    picture: str
    label: str
    suggested_label: str
    score: float
    reasons: str


def write_review_page(path: Path, folder: Path, queue: pa.Table, classes: Sequence[str], name: str) -> None:
    """Writes the page: self-contained HTML whose only script is its own, no request, every name escaped.

    Args:
        path: of the page.
        folder: the pictures.
        queue: table REVIEW.
        classes: that can be chosen; others can be typed.
        name: of the model.
    """
    environment = page_environment()
    script = environment.get_template("review.js").render()
    cards = [_card(row, folder) for row in queue.to_pylist()]
    key = hashlib.sha256("".join(card.image_id for card in cards).encode()).hexdigest()[:16]
    page = environment.get_template("review_page.html").render(
        name=name,
        folder=str(folder),
        cards=cards,
        classes=list(classes),
        key=key,
        script=script,
        script_digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )
    write_durably(path, page.encode())


def _card(row: dict[str, object], folder: Path) -> Card:
    try:
        picture = picture_address(read_picture(folder / file_name(row), DecodeLimits()).rgb, SIDE_PX)
    except UnreadableImage:
        picture = ""
    reasons = row["reasons"]
    return Card(
        rank=int(str(row["rank"])),
        image_id=str(row["image_id"]),
        path=str(row["path"]),
        picture=picture,
        label=str(row["label"] or ""),
        suggested_label=str(row["suggested_label"] or ""),
        score=float(str(row["score"])),
        reasons=", ".join(map(str, reasons)) if isinstance(reasons, list) else "",
    )
