"""A folder to its structure: a table, a page, and a page on which the first pictures are labelled."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from models.artifacts.durable import write_durably
from models.artifacts.tables import EXPLORED, REVIEW, encode_table, table_of
from models.artifacts.workspace import Workspace
from models.data.listing import file_name, folder_key
from models.data.scan import ScanSettings, list_and_scan
from models.data.split import readable_rows
from models.errors import EmptyFolder
from models.exploring.settings import ExploreSettings
from models.exploring.structure import Structure, require_scikit_learn, structure_of
from models.learning.frozen import feature_store
from models.networks.registry import Build, find_network
from models.parallel import ProgressSink
from models.reports.explore_page import write_explore_page
from models.reports.review_page import write_review_page

_LEAST_PICTURES = 10


class Explored(NamedTuple):
    """Where what was seen lies, and its headlines.

    Attributes:
        clusters: pictures of each, the largest first.
        silhouette: how clearly they stand apart, -1..1.
        label_page: on which a person labels the first pictures.
    """

    pictures: int
    clusters: tuple[int, ...]
    silhouette: float
    outliers: int
    near_copies: int
    page: str
    table: str
    label_page: str


def explore_folder(
    folder: Path, scan: ScanSettings, settings: ExploreSettings, workspace: Workspace, sink: ProgressSink
) -> Explored:
    """What is seen of a folder without its labels, once all pages about it are written.

    Raises:
        SettingsError: scikit-learn is not installed, or no such network.
        EmptyFolder: fewer than ten pictures.
    """
    require_scikit_learn()
    manifest = list_and_scan(folder, scan, lambda d, t: sink("scan", d, t))
    rows = _drawn(readable_rows(manifest), settings)
    if rows.num_rows < _LEAST_PICTURES:
        raise EmptyFolder(
            f"{folder} holds {rows.num_rows} readable pictures", f"{_LEAST_PICTURES} or more", "Add some."
        )
    paths = [folder / file_name(row) for row in rows.select(["path", "path_bytes"]).to_pylist()]
    network = find_network(settings.network, settings.weights)
    build = Build(settings.seed, settings.size_px or network.size_px, settings.channels)
    store = feature_store(network, build, workspace.features_dir)
    features = store.features(paths, rows["image_id"].to_pylist(), on_progress=lambda d, t: sink("embed", d, t))
    found = structure_of(features, settings)
    return _written(folder, rows, found, settings, workspace)


def explored_table(rows: pa.Table, found: Structure, settings: ExploreSettings) -> pa.Table:
    """Table EXPLORED of rows of a manifest."""
    paths, limit = rows["path"].to_pylist(), _outlier_limit(found, settings)
    order = {int(place): k + 1 for k, place in enumerate(found.label_order)}
    told = [
        {
            **{name: row[name] for name in ("image_id", "path", "path_bytes")},
            "cluster": int(found.cluster[k]),
            "closeness": float(found.closeness[k]),
            "outlier_score": float(found.outlier_score[k]),
            "is_outlier": bool(found.outlier_score[k] >= limit),
            "copy_of": paths[found.copy_of[k]] if found.copy_of[k] >= 0 else None,
            "map_x": float(found.place[k, 0]),
            "map_y": float(found.place[k, 1]),
            "label_order": order.get(k),
        }
        for k, row in enumerate(rows.select(["image_id", "path", "path_bytes"]).to_pylist())
    ]
    return table_of(told, EXPLORED)


def cluster_name(number: int) -> str:
    """What a cluster is called until a person knows better."""
    return f"cluster-{number + 1:02}" if number >= 0 else "no-cluster"


def _written(
    folder: Path, rows: pa.Table, found: Structure, settings: ExploreSettings, workspace: Workspace
) -> Explored:
    table = explored_table(rows, found, settings)
    stem = workspace.reports_dir / f"explore-{folder_key(folder)}"
    page, data, labelling = (Path(f"{stem}{end}") for end in (".html", ".parquet", "-label.html"))
    write_durably(data, encode_table(table))
    write_explore_page(page, folder, table, found.silhouette, labelling)
    queue, names = _queue(table), [cluster_name(k) for k in range(int(found.cluster.max()) + 1)]
    write_review_page(labelling, folder, queue, names, folder.name)
    sizes = np.bincount(found.cluster[found.cluster >= 0])
    return Explored(
        pictures=table.num_rows,
        clusters=tuple(map(int, sizes)),
        silhouette=found.silhouette,
        outliers=sum(table["is_outlier"].to_pylist()),
        near_copies=int((found.copy_of >= 0).sum()),
        page=str(page),
        table=str(data),
        label_page=str(labelling),
    )


def _queue(table: pa.Table) -> pa.Table:
    """Table REVIEW of the pictures to label first."""
    rows = sorted((row for row in table.to_pylist() if row["label_order"]), key=lambda row: row["label_order"])
    return table_of(
        [
            {
                "rank": row["label_order"],
                **{name: row[name] for name in ("image_id", "path", "path_bytes")},
                "suggested_label": cluster_name(row["cluster"]),
                "score": row["closeness"],
                "doubt": 1 - row["closeness"],
                "reasons": ["odd"] if row["is_outlier"] else ["stands for others"],
            }
            for row in rows
        ],
        REVIEW,
    )


def _outlier_limit(found: Structure, settings: ExploreSettings) -> float:
    return float(np.quantile(found.outlier_score, 1 - settings.outlier_share))


def _drawn(rows: pa.Table, settings: ExploreSettings) -> pa.Table:
    """Each picture once, and by chance where there are too many."""
    first: dict[str, int] = {}
    for k, image_id in enumerate(rows["image_id"].to_pylist()):
        first.setdefault(image_id, k)
    places = np.array(list(first.values()), dtype=np.int64)
    kept = np.sort(np.random.default_rng(settings.seed).permutation(places)[: settings.most_pictures])
    return rows.take(pa.array(kept))
