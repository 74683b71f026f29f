"""What all pages for people share: the template environment, thumbnails, counts."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import pyarrow as pa
from jinja2 import Environment, PackageLoader, StrictUndefined

from models.data.decode import read_picture
from models.data.limits import DecodeLimits
from models.errors import UnreadableImage

THUMBNAIL_PX = 120


def page_environment(*, escapes_html: bool = True) -> Environment:
    """Templates that escape every value; where HTML's escapes would be shown, the template has to see to it."""
    environment = Environment(
        loader=PackageLoader("models.reports"), autoescape=escapes_html, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters["share"] = lambda value: "-" if value is None else f"{value:.3f}"
    return environment


def status_counts(table: pa.Table) -> list[tuple[str, str, int]]:
    """(status, reason, rows), sorted."""
    counted = table.group_by(["status", "reason"]).aggregate([("path", "count")]).to_pylist()
    return sorted((row["status"], row["reason"] or "", row["path_count"]) for row in counted)


def thumbnail(path: Path) -> str:
    """A small picture as a data address; empty where the file is no picture any more."""
    try:
        picture = read_picture(path, DecodeLimits()).rgb
    except UnreadableImage:
        return ""
    picture.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
