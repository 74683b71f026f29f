"""Which labels look wrong: confident learning (Northcutt et al., arXiv 1911.00068) on out-of-fold predictions.

Each picture is judged by heads that never saw it, nor a copy of it. Needs the extras `train` and `labels`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from models.artifacts.tables import LABEL_ISSUES
from models.data.listing import file_name
from models.data.split import SplitSettings, fold_of, usable_rows
from models.errors import DataError, SettingsError
from models.learning.frozen import feature_store
from models.learning.head import HeadData, fit_head, head_logits
from models.learning.losses import plain_loss
from models.learning.training_settings import HeadSettings
from models.networks.registry import Build, find_network
from models.parallel import OnProgress, no_progress

FOLDS = 5
_NETWORK = "efficientnet_lite0"
_HEAD = HeadSettings(members=3, steps=400)
_WEIGHT_DECAY = 0.3
Floats = NDArray[np.float64]


def find_label_errors(
    folder: Path, manifest: pa.Table, features_dir: Path, seed: int = 0, on_progress: OnProgress = no_progress
) -> pa.Table:
    """Table LABEL_ISSUES: pictures whose label is doubted, most doubtful first.

    Args:
        folder: the pictures.
        manifest: table MANIFEST of it, one label a picture.
        features_dir: where features of frozen networks are kept.
        seed: of the folds and the heads.
        on_progress: called with pictures done.

    Raises:
        DataError: several labels a picture, or fewer than two classes.
        SettingsError: cleanlab is not installed.
    """
    rows = usable_rows(manifest)
    if rows["label"].null_count or len(rows["label"].unique()) < 2:
        raise DataError(
            "label errors can be looked for only in pictures with one label each, of two classes or more",
            "such a folder",
            "Leave --label-errors out.",
        )
    network = find_network(_NETWORK)
    store = feature_store(network, Build(seed, network.size_px), features_dir)
    paths = [folder / file_name(row) for row in rows.select(["path", "path_bytes"]).to_pylist()]
    features = store.features(paths, rows["image_id"].to_pylist(), on_progress=on_progress)
    classes, index = np.unique(np.asarray(rows["label"].to_pylist()), return_inverse=True)
    settings = SplitSettings(folds=FOLDS, seed=seed)
    folds = np.array([fold_of(group, settings) for group in rows["group_id"].to_pylist()])
    probabilities = out_of_fold(features, index.astype(np.int64), folds, seed)
    return doubted_labels(rows, [str(name) for name in classes], index.astype(np.int64), probabilities)


def out_of_fold(
    features: NDArray[np.float32], class_index: NDArray[np.int64], folds: NDArray[np.int64], seed: int
) -> Floats:
    """(N, K) probabilities of each row by a head that was trained on the other folds; every class counts alike."""
    count = int(class_index.max()) + 1
    found = np.zeros((len(features), count))
    for fold in np.unique(folds):
        inside = folds == fold
        rest = class_index[~inside]
        weight = 1 / np.bincount(rest, minlength=count).clip(1)[rest]
        data = HeadData(features[~inside], np.eye(count, dtype=np.float32)[rest], weight / weight.mean())
        logits = head_logits(features[inside], fit_head(data, _HEAD, plain_loss(count), _WEIGHT_DECAY, seed))
        exponents = np.exp(logits - logits.max(1, keepdims=True))
        found[inside] = exponents / exponents.sum(1, keepdims=True)
    return found


def doubted_labels(
    rows: pa.Table, classes: list[str], class_index: NDArray[np.int64], probabilities: Floats
) -> pa.Table:
    """Table LABEL_ISSUES of the rows that confident learning doubts.

    Args:
        rows: with image_id and path.
        classes: K names.
        class_index: (N,) given class of each row.
        probabilities: (N, K) out-of-fold, rows sum to 1.
    """
    try:
        from cleanlab.filter import find_label_issues  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise SettingsError(
            "package cleanlab is not installed", "the extra `labels`", "Run pip install 'sortline[labels]'."
        ) from error
    doubted = np.asarray(
        find_label_issues(class_index, probabilities, return_indices_ranked_by="self_confidence", n_jobs=1)
    )
    others = probabilities[doubted].copy()
    others[np.arange(len(doubted)), class_index[doubted]] = -1
    suggested = others.argmax(1) if len(doubted) else np.zeros(0, dtype=np.int64)
    found = rows.take(pa.array(doubted, pa.int64()))
    columns = {
        "image_id": found["image_id"],
        "path": found["path"],
        "label": pa.array([classes[k] for k in class_index[doubted]], pa.string()),
        "suggested_label": pa.array([classes[k] for k in suggested], pa.string()),
        "label_score": pa.array(probabilities[doubted, class_index[doubted]], pa.float32()),
        "suggested_score": pa.array(probabilities[doubted, suggested], pa.float32()),
    }
    return pa.table([columns[name] for name in LABEL_ISSUES.names], schema=LABEL_ISSUES)
