"""From a listed folder to a manifest: one row a file, with its digest, its label and its condition.

One streaming pass: each file is read once, in a worker process, and memory does not grow with the number of files
but for 24 bytes each, by which copies are found at the end.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from models.artifacts.tables import MANIFEST, columns_batch, read_batches, write_batches
from models.clock import Clock, utc_now
from models.data.corrections import Correction
from models.data.duplicates import Clusters, cluster_manifest
from models.data.exclusion import exclusion_metadata, read_exclusions
from models.data.inspection import Inspection, Request
from models.data.isolation import InspectionPool, IsolationSettings
from models.data.labels import LABELLED, LabelSource, Layout, open_labels
from models.data.limits import DecodeLimits
from models.data.listing import LISTING, file_name, listing_batches
from models.data.quality import Quality
from models.data.quarantine import read_quarantine
from models.errors import EmptyFolder, MachineError
from models.parallel import OnProgress, map_in_threads, no_progress
from models.settings import FileName, Settings

# Files a request to a worker: enough that the request itself costs nothing, few enough to repeat after a crash.
_CHUNK_FILES = 32
_BATCH_CHUNKS = 256
_LEAST_CRASHES = 5
_CLUSTERED = ("image_id", "perceptual_hash", "given_group", "status")
_LABELLED_KEY = b"labelled"
EXCLUDED = "excluded"
Row = dict[str, Any]


class ScanSettings(Settings):
    """How a folder is read."""

    layout: Layout = Field(
        default="auto",
        description="class_folders: the first folder is the class; split_folders: train, val and test folders hold "
        "the class folders; flat: no labels; auto: tells the first two apart.",
        title="Layout",
    )
    labels: FileName = Field(
        default="",
        description="Table with path and label (or labels), and if wanted group, split, weight and slices: CSV, "
        "parquet or JSON lines. Empty: labels.csv, labels.parquet or labels.jsonl in the folder, if there is one.",
        title="Label table",
    )
    quarantine: FileName = Field(
        default="",
        description="CSV with path and sha256 of files to leave out, as `sortline audit --quarantine` writes it.",
        title="Quarantine list",
    )
    excluded: FileName = Field(
        default="",
        description="Digests (sha256) of pictures that are never to be learned from, whatever they are called: one a "
        "line, or a CSV with a column sha256. The model's card says that none of them was.",
        title="Exclusion list",
    )
    corrections: FileName = Field(
        default="",
        description="Labels that people gave after a review, by the digest of the picture: JSON or CSV as the review "
        "page saves it. corrections.csv in the folder is read besides.",
        title="Corrections",
    )
    near_duplicate_bits: int = Field(
        default=4,
        ge=-1,
        le=16,
        description="Pictures whose perceptual hashes differ in at most so many of 64 bits count as near copies; "
        "-1 knows exact copies only.",
        title="Near copies",
    )
    settle_seconds: float = Field(
        default=0,
        ge=0,
        le=86_400,
        description="A file written less than so long ago may still be being copied and is left for the next run.",
        title="Settle time",
    )
    limits: DecodeLimits = Field(default=DecodeLimits(), title="Limits", description="What one file may cost.")
    isolation: IsolationSettings = Field(
        default=IsolationSettings(), title="Isolation", description="The processes in which files are decoded."
    )


def written_before_ns(settings: ScanSettings, now: datetime) -> int | None:
    """The time that a file must be older than to be read; None where none is too young."""
    return int((now.timestamp() - settings.settle_seconds) * 1e9) if settings.settle_seconds else None


class ScanJob(NamedTuple):
    """A folder to scan and how; `rows` is the number of its files, for progress."""

    folder: Path
    settings: ScanSettings
    rows: int


def scan_folder(
    folder: Path, listing: pa.Table, settings: ScanSettings, on_progress: OnProgress = no_progress
) -> pa.Table:
    """Table MANIFEST of a folder, one row an entry of `listing`, in its order, held in memory.

    Raises:
        DataError: a table of labels that cannot be used.
        EmptyFolder: the folder holds no picture that decodes.
        MachineError: workers do not start, or fail on most files.
    """
    job = ScanJob(folder, settings, listing.num_rows)
    source = open_labels(folder, settings.layout, settings.labels, settings.corrections)
    scanned = pa.Table.from_batches(scan_batches(job, source, listing.to_batches(), on_progress), MANIFEST)
    _require_pictures(folder, scanned)
    clusters = cluster_manifest(iter(scanned.to_batches()), settings.near_duplicate_bits)
    rows = _standing_rows(clusters)
    ids = dict(zip(rows.tolist(), scanned["image_id"].take(pa.array(rows)).to_pylist(), strict=True))
    schema = _schema(source, settings, scanned.to_batches())
    return pa.Table.from_batches(_with_groups(scanned.to_batches(), clusters, ids), schema)


def list_and_scan(
    folder: Path, settings: ScanSettings, on_progress: OnProgress = no_progress, clock: Clock = utc_now
) -> pa.Table:
    """Table MANIFEST of a folder as it is now, held in memory; files that may still be being copied are left out.

    Raises:
        As `scan_folder`.
    """
    batches = listing_batches(folder, written_before_ns(settings, clock()))
    return scan_folder(folder, pa.Table.from_batches(batches, LISTING), settings, on_progress)


def scan_to_file(
    job: ScanJob, listing: Iterable[pa.RecordBatch], path: Path, on_progress: OnProgress = no_progress
) -> int:
    """Number of rows of the manifest written to `path`; the same rows as `scan_folder`, in bounded memory.

    Raises:
        As `scan_folder`.
    """
    source = open_labels(job.folder, job.settings.layout, job.settings.labels, job.settings.corrections)
    first_pass = path.with_suffix(".pass1")
    try:
        write_batches(first_pass, scan_batches(job, source, listing, on_progress), MANIFEST)
        _require_pictures(job.folder, *read_batches(first_pass, MANIFEST, ["status"]))
        columns = read_batches(first_pass, MANIFEST, _CLUSTERED)
        clusters = cluster_manifest(columns, job.settings.near_duplicate_bits)
        ids: dict[int, str] = {}
        start, wanted = 0, _standing_rows(clusters)
        for batch in read_batches(first_pass, MANIFEST, ["image_id"]):
            inside = wanted[(wanted >= start) & (wanted < start + batch.num_rows)]
            ids.update(zip(inside.tolist(), batch["image_id"].take(pa.array(inside - start)).to_pylist(), strict=True))
            start += batch.num_rows
        schema = _schema(source, job.settings, read_batches(first_pass, MANIFEST, ["reason"]))
        return write_batches(path, _with_groups(read_batches(first_pass, MANIFEST), clusters, ids), schema)
    finally:
        first_pass.unlink(missing_ok=True)


def has_labels(manifest: pa.Table) -> bool:
    """Whether a manifest comes from a folder that was read with labels."""
    return bool((manifest.schema.metadata or {}).get(_LABELLED_KEY, b"yes") == b"yes")


def scan_batches(
    job: ScanJob, source: LabelSource, listing: Iterable[pa.RecordBatch], on_progress: OnProgress = no_progress
) -> Iterator[pa.RecordBatch]:
    """Record batches of schema MANIFEST, one row a listed file and one a file that only a label table names."""
    quarantined, excluded = read_quarantine(job.settings.quarantine), read_exclusions(job.settings.excluded)
    done = 0
    with InspectionPool(job.folder, job.settings.limits, job.settings.isolation) as pool:
        chunks = _chunks(row for batch in listing for row in batch.to_pylist())
        results = map_in_threads(lambda rows: _inspect(pool, rows), chunks, threads=job.settings.isolation.worker_count)
        while part := list(islice(results, _BATCH_CHUNKS)):
            rows = [row for chunk, _ in part for row in chunk]
            inspections = [inspection for _, found in part for inspection in found]
            _refuse_broken_machine(inspections)
            kept = _left_out(_quarantined(rows, inspections, quarantined), source.corrections, excluded)
            yield _manifest_batch(rows, kept, source)
            done += len(rows)
            on_progress(done, job.rows)
    if missing := source.unseen():
        lost = [{"path": path, "path_bytes": None, "size_bytes": 0} for path in missing]
        yield _manifest_batch(lost, [Inspection("vanished", "not_found")] * len(lost), source)


def _chunks(rows: Iterator[Row]) -> Iterator[list[Row]]:
    while part := list(islice(rows, _CHUNK_FILES)):
        yield part


def _inspect(pool: InspectionPool, rows: list[Row]) -> tuple[list[Row], list[Inspection]]:
    """The rows and their inspections; what the listing has judged is not opened."""
    requests = [Request(file_name(r), r["size_bytes"], r["mtime_ns"]) for r in rows if r["status"] is None]
    found = iter(pool.ask(requests) if requests else [])
    return rows, [next(found) if r["status"] is None else Inspection(r["status"], r["reason"]) for r in rows]


def _quarantined(
    rows: Sequence[Row], inspections: Sequence[Inspection], quarantined: set[tuple[str, str]]
) -> list[Inspection]:
    return [
        i._replace(status="ignored", reason="quarantined") if (row["path"], i.sha256 or "") in quarantined else i
        for row, i in zip(rows, inspections, strict=True)
    ]


def _left_out(
    inspections: Sequence[Inspection], corrections: Mapping[str, Correction], excluded: frozenset[str]
) -> list[Inspection]:
    """The inspections, with pictures ignored that a person said are not to be learned from."""
    found = []
    for inspection in inspections:
        given = corrections.get(inspection.sha256 or "")
        if inspection.sha256 in excluded:
            found.append(inspection._replace(status="ignored", reason=EXCLUDED))
        elif given is not None and not given.label and inspection.status == "ok":
            found.append(inspection._replace(status="ignored", reason="reviewed_out"))
        else:
            found.append(inspection)
    return found


def _corrected(values: pa.Table, inspections: Sequence[Inspection], corrections: Mapping[str, Correction]) -> pa.Table:
    """The labels with those of people in the place of others, and who they are; lists of labels stay."""
    found = [corrections.get(i.sha256 or "") for i in inspections]
    has_list = values["labels"].is_valid().to_pylist()
    said = [c if c and c.label and not lists else None for c, lists in zip(found, has_list, strict=True)]
    for name, texts in (
        ("label", [c.label if c else None for c in said]),
        ("label_source", [c.source if c else None for c in said]),
    ):
        better = pc.coalesce(pa.array(texts, pa.string()), values[name])
        values = values.set_column(values.schema.get_field_index(name), LABELLED.field(name), better)
    return values


def _manifest_batch(rows: Sequence[Row], inspections: Sequence[Inspection], source: LabelSource) -> pa.RecordBatch:
    paths = [row["path"] for row in rows]
    headers, qualities = [i.header for i in inspections], [i.quality for i in inspections]
    values = _corrected(source.describe(paths), inspections, source.corrections).combine_chunks()
    columns: dict[str, Any] = {
        **{name: values[name].combine_chunks() for name in LABELLED.names},
        "image_id": [i.sha256 for i in inspections],
        "path": paths,
        "path_bytes": [row["path_bytes"] for row in rows],
        "group_id": [None] * len(rows),
        "duplicate_group": [None] * len(rows),
        "status": [i.status for i in inspections],
        "reason": [i.reason for i in inspections],
        "size_bytes": [i.size_bytes or row["size_bytes"] for row, i in zip(rows, inspections, strict=True)],
        "format": [i.header.format if i.header else i.sniffed for i in inspections],
        **{name: _attributes(headers, name) for name in ("width_px", "height_px", "mode", "frames", "orientation")},
        **{name: _attributes(qualities, name) for name in Quality._fields},
    }
    return columns_batch([columns[name] for name in MANIFEST.names], MANIFEST)


def _attributes(records: Sequence[object], name: str) -> list[Any]:
    return [None if record is None else getattr(record, name) for record in records]


def _with_groups(
    batches: Iterable[pa.RecordBatch], clusters: Clusters, ids: dict[int, str]
) -> Iterator[pa.RecordBatch]:
    """The batches with `group_id` and `duplicate_group` filled in, for pictures that decode."""
    start = 0
    for batch in batches:
        rows = range(start, start + batch.num_rows)
        is_ok = [status == "ok" for status in batch["status"].to_pylist()]
        own = batch["image_id"].to_pylist()
        stands = clusters.group_of[rows.start : rows.stop].tolist()
        copies = clusters.copy_of[rows.start : rows.stop].tolist()
        groups = [
            (clusters.group_name.get(s) or ids.get(s) or image_id) if ok else None
            for s, image_id, ok in zip(stands, own, is_ok, strict=True)
        ]
        kin = [ids[c] if c >= 0 and ok else None for c, ok in zip(copies, is_ok, strict=True)]
        yield _replaced(batch, {"group_id": groups, "duplicate_group": kin})
        start = rows.stop


def _replaced(batch: pa.RecordBatch, values: dict[str, list[str | None]]) -> pa.RecordBatch:
    columns = [pa.array(values[n], pa.string()) if n in values else batch[n] for n in MANIFEST.names]
    return pa.RecordBatch.from_arrays(columns, schema=MANIFEST)


def _standing_rows(clusters: Clusters) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Rows whose digest names a group of more than themselves."""
    alone = np.arange(len(clusters.group_of))
    others = clusters.group_of[clusters.group_of != alone]
    return np.unique(np.concatenate([others, clusters.copy_of[clusters.copy_of >= 0]]))


def _schema(source: LabelSource, settings: ScanSettings, batches: Iterable[pa.RecordBatch]) -> pa.Schema:
    """MANIFEST, with a word on whether there are labels at all, and on pictures that were excluded."""
    named = bool(source.corrections) or any(table.has_labels for table in source.tables)
    labelled = named or source.layout != "flat"
    excluded = read_exclusions(settings.excluded)
    found = sum(batch["reason"].to_pylist().count(EXCLUDED) for batch in batches) if excluded else 0
    told = {_LABELLED_KEY: b"yes" if labelled else b"no", **exclusion_metadata(excluded, found)}
    return MANIFEST.with_metadata({**MANIFEST.metadata, **told})


def _require_pictures(folder: Path, *rows: pa.Table | pa.RecordBatch) -> None:
    counts = Counter(status for part in rows for status in part["status"].to_pylist())
    if not counts["ok"]:
        kinds = ", ".join(f"{count} {status}" for status, count in sorted(counts.items())) or "none"
        raise EmptyFolder(
            f"{folder} holds no picture that decodes ({counts.total()} files of any kind: {kinds})",
            "JPEG, PNG, BMP, GIF, TIFF or WebP files, which are no links, in one folder a class",
            "Check the path.",
        )


def _refuse_broken_machine(inspections: Sequence[Inspection]) -> None:
    """Stops where workers die over most files: then it is the machine, and no file."""
    crashed = sum(i.status == "crashed" for i in inspections)
    if crashed >= _LEAST_CRASHES and crashed * 2 > sum(i.status in ("ok", "crashed") for i in inspections):
        raise MachineError(
            f"workers crashed over {crashed} of {len(inspections)} files",
            "decoders that run here",
            "Run sortline doctor.",
        )
