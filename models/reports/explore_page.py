"""One page about a folder without labels: its map, its clusters, what is odd and what is there twice. Opens offline."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
from markupsafe import Markup

from models.artifacts.durable import write_durably
from models.data.listing import file_name
from models.reports.page import page_environment, thumbnail

_SHOWN = 8
_WIDTH_PX, _HEIGHT_PX, _MARGIN_PX = 720, 480, 12
# Of Okabe and Ito, which colour-blind people tell apart; beyond them clusters share a colour.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7a7a00", "#000000")


class Cluster(NamedTuple):
    """Pictures of one cluster: how many, and the first nearest to its centre as (picture, path)."""

    number: int
    colour: str
    rows: int
    pictures: list[tuple[str, str]]


def write_explore_page(path: Path, folder: Path, table: pa.Table, silhouette: float, labelling: Path) -> None:
    """Writes the page: self-contained HTML, no script, no request, every name escaped.

    Args:
        path: of the page.
        folder: the pictures.
        table: table EXPLORED.
        silhouette: how clearly clusters stand apart, -1..1.
        labelling: the page on which the first pictures are labelled.
    """
    rows = table.to_pylist()
    by_path = {row["path"]: row for row in rows}
    odd = sorted((row for row in rows if row["is_outlier"]), key=lambda row: -row["outlier_score"])
    copies = [(by_path[row["copy_of"]], row) for row in rows if row["copy_of"]]
    page = (
        page_environment()
        .get_template("explore_page.html")
        .render(
            folder=str(folder),
            count=len(rows),
            silhouette=None if math.isnan(silhouette) else silhouette,
            map=Markup(_map(rows)),
            clusters=_clusters(folder, rows),
            loners=sum(row["cluster"] < 0 for row in rows),
            odd=[_picture(folder, row) for row in odd[: 2 * _SHOWN]],
            odd_count=len(odd),
            copies=[(_picture(folder, a), _picture(folder, b)) for a, b in copies[:_SHOWN]],
            copy_count=len(copies),
            labelling=labelling.name,
            to_label=sum(row["label_order"] is not None for row in rows),
        )
    )
    write_durably(path, page.encode())


def _clusters(folder: Path, rows: list[dict[str, Any]]) -> list[Cluster]:
    found = []
    for number in range(max((row["cluster"] for row in rows), default=-1) + 1):
        mine = sorted((row for row in rows if row["cluster"] == number), key=lambda row: -row["closeness"])
        shown = [_picture(folder, row) for row in mine[:_SHOWN]]
        found.append(Cluster(number + 1, _colour(number), len(mine), shown))
    return found


def _picture(folder: Path, row: dict[str, Any]) -> tuple[str, str]:
    return thumbnail(folder / file_name(row)), str(row["path"])


def _map(rows: list[dict[str, Any]]) -> str:
    """An SVG with a dot a picture."""
    dots = []
    for row in rows:
        if not math.isnan(row["map_x"]):
            x = _MARGIN_PX + row["map_x"] * (_WIDTH_PX - 2 * _MARGIN_PX)
            y = _MARGIN_PX + row["map_y"] * (_HEIGHT_PX - 2 * _MARGIN_PX)
            size = 4 if row["is_outlier"] else 2.5
            dots.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{size}" fill="{_colour(row["cluster"])}"/>')
    head = f'<svg viewBox="0 0 {_WIDTH_PX} {_HEIGHT_PX}" role="img" aria-label="map of pictures" class="plot">'
    return f'{head}<rect width="{_WIDTH_PX}" height="{_HEIGHT_PX}" fill="#f5f7f9"/>{"".join(dots)}</svg>'


def _colour(cluster: int) -> str:
    return _COLOURS[cluster % len(_COLOURS)] if cluster >= 0 else "#b0b7bf"
