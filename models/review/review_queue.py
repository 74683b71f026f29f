"""The queue: which scored pictures, or which labels, a person should look at next, and why."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from models.artifacts.durable import sha256_of
from models.artifacts.tables import REVIEW, table_of
from models.data.corrections import read_corrections
from models.data.listing import file_name
from models.errors import EmptyFolder
from models.learning.embed import FeatureStore
from models.review.diverse import unsure_and_diverse
from models.review.settings import ReviewSettings
from models.serving.bundle import Bundle
from models.serving.reader import read_predictions

_COLUMNS = (
    "path",
    "path_bytes",
    "sha256",
    "status",
    "label",
    "score",
    "margin",
    "top_labels",
    "top_scores",
    "abstained",
    "ood_score",
    "plan_id",
)
UNSURE, ABSTAINED, FOREIGN, DRIFTED, DOUBTED = "unsure", "abstained", "foreign", "drifted", "label doubted"
_FOREIGN_FROM = 1.0
_LEAST_DOUBT = 1e-3
Row = dict[str, Any]


class Scored(NamedTuple):
    """A scored folder.

    Attributes:
        bundle: that scored it.
        drifted_plans: plans whose rows drifted.
        features_dir: where embeddings are kept.
    """

    folder: Path
    out: Path
    bundle: Bundle
    drifted_plans: frozenset[str]
    features_dir: Path


def queue_of_scored(scored: Scored, settings: ReviewSettings) -> pa.Table:
    """Table REVIEW of the pictures of a scored folder that tell most, the first to be looked at first.

    The queue has three parts, whose shares the settings give: pictures that the model is unsure of, spread over what
    they look like; pictures unlike all that it learned from; and, of batches that drifted, pictures spread over all of
    them. What one part leaves free goes to the first.

    Raises:
        EmptyFolder: no scored picture is left in the folder.
    """
    rows = read_predictions(scored.out, _COLUMNS, bundle_sha256=scored.bundle.sha256)
    rows = _unknown(rows.filter(pc.equal(rows["status"], "ok")), "sha256", settings)
    candidates = _candidates(rows, settings, scored)
    if not candidates:
        raise EmptyFolder(
            f"{scored.out} names no scored picture that still lies in {scored.folder}",
            "pictures as they were scored",
            "Score the folder first, or check --out.",
        )
    paths = [scored.folder / file_name(row) for row in candidates]
    store = FeatureStore(scored.features_dir, scored.bundle.onnx_bytes, scored.bundle.card.preprocess)
    embeddings = store.features(paths, [row["sha256"] for row in candidates])
    doubt = np.array([1 - row["margin"] for row in candidates]) + _LEAST_DOUBT
    is_drifted = np.array([row["plan_id"] in scored.drifted_plans for row in candidates])
    foreign = np.array([row["ood_score"] or 0.0 for row in candidates])
    chosen = [
        *np.argsort(-foreign, kind="stable")[: int(settings.count * settings.foreign_share)].tolist(),
        *_spread(is_drifted, embeddings, _drifted_count(settings)),
    ]
    chosen = [k for k in dict.fromkeys(chosen) if foreign[k] > _FOREIGN_FROM or is_drifted[k]]
    left = np.setdiff1d(np.arange(len(candidates)), chosen)
    unsure = unsure_and_diverse(doubt[left], embeddings[left], settings.count - len(chosen), settings.shortlist)
    ordered = sorted([*chosen, *left[unsure].tolist()], key=lambda k: (-doubt[k], candidates[k]["path"]))
    told = [_told(candidates[k], scored, is_drifted=bool(is_drifted[k])) for k in ordered]
    return table_of([{"rank": k + 1, **row} for k, row in enumerate(told)], REVIEW)


def queue_of_doubts(issues: pa.Table, manifest: pa.Table, settings: ReviewSettings) -> pa.Table:
    """Table REVIEW of labelled pictures whose label is doubted, most doubtful first.

    Args:
        issues: table LABEL_ISSUES.
        manifest: table MANIFEST that it is of.
        settings: how many.
    """
    raw = dict(zip(manifest["path"].to_pylist(), manifest["path_bytes"].to_pylist(), strict=True))
    rows = [
        {
            "rank": k + 1,
            "image_id": row["image_id"],
            "path": row["path"],
            "path_bytes": raw.get(row["path"]),
            "label": row["label"],
            "suggested_label": row["suggested_label"],
            "score": row["suggested_score"],
            "doubt": 1 - row["label_score"],
            "reasons": [DOUBTED],
        }
        for k, row in enumerate(_unknown(issues, "image_id", settings).slice(0, settings.count).to_pylist())
    ]
    return table_of(rows, REVIEW)


def _candidates(rows: pa.Table, settings: ReviewSettings, scored: Scored) -> list[Row]:
    """Rows that any part of the queue may take, whose files are still what was scored."""
    count = settings.count * settings.shortlist
    margin, foreign = (rows[name].to_numpy(zero_copy_only=False) for name in ("margin", "ood_score"))
    wanted = [np.argsort(margin, kind="stable")[:count]]
    wanted.append(np.argsort(-np.nan_to_num(foreign.astype(np.float64)), kind="stable")[: settings.count])
    drifted = np.flatnonzero([plan in scored.drifted_plans for plan in rows["plan_id"].to_pylist()])
    wanted.append(np.random.default_rng(settings.seed).permutation(drifted)[:count])
    found = rows.take(pa.array(np.unique(np.concatenate(wanted)).astype(np.int64))).to_pylist()
    return [row for row in found if _is_there(scored.folder / file_name(row), row["sha256"])]


def _unknown(rows: pa.Table, digests: str, settings: ReviewSettings) -> pa.Table:
    """The rows about pictures that nobody has said anything of."""
    known = list(read_corrections(Path(settings.known))) if settings.known else []
    return rows.filter(pc.invert(pc.is_in(rows[digests], pa.array(known, pa.string()))))


def _is_there(path: Path, sha256: str) -> bool:
    return path.is_file() and sha256_of(path) == sha256


def _drifted_count(settings: ReviewSettings) -> int:
    return max(round(settings.count * (1 - settings.unsure_share - settings.foreign_share)), 0)


def _spread(is_wanted: np.ndarray[Any, np.dtype[np.bool_]], embeddings: Any, count: int) -> Sequence[int]:
    """Positions of some of the wanted rows, spread over what they look like."""
    places = np.flatnonzero(is_wanted)
    if not len(places) or not count:
        return ()
    alike = np.ones(len(places))
    found: list[int] = places[unsure_and_diverse(alike, embeddings[places], count, len(places))].tolist()
    return found


def _told(row: Row, scored: Scored, *, is_drifted: bool) -> Row:
    """The columns of table REVIEW that one scored row decides."""
    reasons = [UNSURE]
    reasons += [ABSTAINED] if row["abstained"] else []
    reasons += [FOREIGN] if (row["ood_score"] or 0.0) > _FOREIGN_FROM else []
    reasons += [DRIFTED] if is_drifted else []
    return {
        "image_id": row["sha256"],
        "path": row["path"],
        "path_bytes": row["path_bytes"],
        "suggested_label": row["label"],
        "score": row["score"],
        "doubt": 1 - row["margin"],
        "reasons": reasons,
        "model_name": scored.bundle.card.name,
        "bundle_sha256": scored.bundle.sha256,
        "site": scored.bundle.site.name if scored.bundle.site else None,
    }
