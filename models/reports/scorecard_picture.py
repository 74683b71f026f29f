"""The scorecard as a small PNG, for pages that show no SVG: recall and precision of each class."""

from __future__ import annotations

import io

from PIL import Image, ImageDraw

from models.artifacts.records import Scores

# Blue and vermilion of Okabe and Ito, which colour-blind people tell apart.
_BLUE, _VERMILION, _GREY = "#0072b2", "#d55e00", "#888888"
_WIDTH_PX, _ROW_PX, _NAME_PX, _MOST_CLASSES = 640, 34, 180, 30
_LONGEST_NAME = 24


def scorecard_picture(scores: Scores) -> bytes:
    """PNG of at most 640 by 1060 pixels: a pair of bars a class, recall above precision, on a line from 0 to 1.

    Of more than 30 classes those with the smallest recall are drawn.
    """
    rows = sorted(scores.per_class, key=lambda row: row.recall if row.recall is not None else 2.0)[:_MOST_CLASSES]
    picture = Image.new("RGB", (_WIDTH_PX, _ROW_PX * (len(rows) + 1)), "white")
    draw = ImageDraw.Draw(picture)
    draw.text((_NAME_PX, 8), "recall", fill=_BLUE)
    draw.text((_NAME_PX + 60, 8), "precision", fill=_VERMILION)
    for k, row in enumerate(rows, start=1):
        top = k * _ROW_PX
        name = row.label if len(row.label) <= _LONGEST_NAME else row.label[: _LONGEST_NAME - 1] + "~"
        # The font that comes with Pillow knows Latin letters only.
        draw.text((8, top + 8), name.encode("ascii", "replace").decode(), fill="black")
        for place, value, colour in ((4, row.recall, _BLUE), (18, row.precision, _VERMILION)):
            _bar(draw, top + place, value, colour)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _bar(draw: ImageDraw.ImageDraw, top: int, value: float | None, colour: str) -> None:
    most = _WIDTH_PX - _NAME_PX - 60
    draw.line((_NAME_PX, top + 5, _NAME_PX + most, top + 5), fill="#dddddd")
    if value is None:
        draw.text((_NAME_PX + 4, top - 1), "never predicted", fill=_GREY)
        return
    draw.rectangle((_NAME_PX, top, _NAME_PX + value * most, top + 10), fill=colour)
    draw.text((_NAME_PX + value * most + 6, top - 1), f"{value:.3f}", fill="black")
