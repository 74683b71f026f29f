"""A folder to its review queue: as a table, as a page, and for Label Studio."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from models.artifacts.durable import write_durably
from models.artifacts.tables import encode_table
from models.artifacts.workspace import Workspace
from models.data.scan import ScanSettings, list_and_scan
from models.drift.history import read_history
from models.parallel import ProgressSink
from models.reports.review_page import write_review_page
from models.review.label_studio import label_studio_config, label_studio_tasks
from models.review.review_queue import Scored, queue_of_doubts, queue_of_scored
from models.review.settings import ReviewSettings
from models.serving.reader import open_output
from models.serving.registry import Registry
from models.serving.sites import open_served

_SHOWN = 10


class ReviewJob(NamedTuple):
    """What is to be looked at.

    Attributes:
        out: predictions of the folder; None: its labels are doubted.
        pictures_address: what Label Studio finds the folder by; empty: by its path below a local files server.
    """

    folder: Path
    out: Path | None
    name: str
    pictures_address: str
    settings: ReviewSettings


class Reviewed(NamedTuple):
    """Where a queue lies, and the first of it.

    Attributes:
        reasons: pictures by reason.
    """

    rows: int
    page: str
    table: str
    tasks: str
    reasons: dict[str, int]
    shown: list[dict[str, Any]]


def review_folder(job: ReviewJob, scan: ScanSettings, workspace: Workspace, sink: ProgressSink) -> Reviewed:
    """The queue of a folder, once all of its shapes are written.

    Raises:
        SettingsError: no such model, no such output, or the extra for doubted labels is missing.
        DataError: nothing to look at.
    """
    registry = Registry(workspace)
    if job.out is not None:
        commits = [c for c in open_output(job.out).commits() if c.model_name == job.name]
        newest = commits[-1].bundle_sha256 if commits else registry.open_champion(job.name).sha256
        bundle = open_served(registry, job.name, newest)
        drifted = {p for r in read_history(workspace.drift_dir(job.name)) if r.status == "drift" for p in r.plan_ids}
        scored = Scored(job.folder, job.out, bundle, frozenset(drifted), workspace.features_dir)
        queue = queue_of_scored(scored, job.settings)
    else:
        bundle = registry.open_champion(job.name)
        queue = _doubted(job, scan, workspace, sink)
    return _written(job, queue, bundle.card.classes, workspace)


def _doubted(job: ReviewJob, scan: ScanSettings, workspace: Workspace, sink: ProgressSink) -> pa.Table:
    from models.learning.label_errors import find_label_errors  # noqa: PLC0415 - torch takes seconds to import

    manifest = list_and_scan(job.folder, scan, lambda d, t: sink("scan", d, t))
    issues = find_label_errors(
        job.folder, manifest, workspace.features_dir, on_progress=lambda d, t: sink("look for label errors", d, t)
    )
    return queue_of_doubts(issues, manifest, job.settings)


def _written(job: ReviewJob, queue: pa.Table, classes: tuple[str, ...], workspace: Workspace) -> Reviewed:
    stem = workspace.reports_dir / f"{job.name}-review"
    page, table, tasks = (stem.with_suffix(suffix) for suffix in (".html", ".parquet", ".label-studio.json"))
    write_review_page(page, job.folder, queue, classes, job.name)
    write_durably(table, encode_table(queue))
    address = job.pictures_address or f"/data/local-files/?d={str(job.folder).lstrip('/')}"
    write_durably(tasks, label_studio_tasks(queue, address).encode())
    write_durably(stem.with_suffix(".label-studio.xml"), label_studio_config(classes).encode())
    rows = queue.to_pylist()
    reasons = Counter(reason for row in rows for reason in row["reasons"])
    return Reviewed(len(rows), str(page), str(table), str(tasks), dict(reasons), rows[:_SHOWN])
