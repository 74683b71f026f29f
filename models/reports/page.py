"""What all pages for people share: the template environment, thumbnails, counts."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import pyarrow as pa
from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image

from models.data.decode import read_picture
from models.data.limits import DecodeLimits
from models.errors import UnreadableImage

THUMBNAIL_PX = 120
# Marks of writing direction, which let a name turn round what stands behind it.
_DIRECTIONS = {
    code: f"\\u{code:04x}" for code in (0x61C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
}


def page_environment(*, escapes_html: bool = True) -> Environment:
    """Templates that escape every value; where HTML's escapes would be shown, the template has to see to it."""
    environment = Environment(
        loader=PackageLoader("models.reports"),
        autoescape=escapes_html,
        undefined=StrictUndefined,
        trim_blocks=True,
        finalize=visible_text,
    )
    environment.filters["share"] = lambda value: "-" if value is None else f"{value:.3f}"
    return environment


def status_counts(table: pa.Table) -> list[tuple[str, str, int]]:
    """(status, reason, rows), sorted."""
    counted = table.group_by(["status", "reason"]).aggregate([("path", "count")]).to_pylist()
    return sorted((row["status"], row["reason"] or "", row["path_count"]) for row in counted)


def visible_text(value: object) -> object:
    """Text whose marks of writing direction are written out; anything else as it is."""
    return value.translate(_DIRECTIONS) if type(value) is str else value


def thumbnail(path: Path) -> str:
    """A small picture as a data address; empty where the file is no picture any more."""
    try:
        picture = read_picture(path, DecodeLimits()).rgb
    except UnreadableImage:
        return ""
    return picture_address(picture, THUMBNAIL_PX)


def picture_address(picture: Image.Image, side_px: int) -> str:
    """A data address of a JPEG that is nowhere longer than `side_px`."""
    small = picture.convert("RGB")
    small.thumbnail((side_px, side_px))
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
