"""Clusters, a map, outliers and near copies of pictures by their features; scikit-learn does the work."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.errors import SettingsError
from models.exploring.settings import ExploreSettings
from models.review.diverse import unsure_and_diverse

_COMPONENTS, _MOST_CLUSTERS, _JUDGED_ROWS, _MAPPED_ROWS = 50, 20, 2000, 3000
_NEIGHBOURS, _PERPLEXITY = 10, 30.0
Floats = NDArray[np.float64]


class Structure(NamedTuple):
    """What features say of N pictures.

    Attributes:
        cluster: (N,) number of the cluster, the largest first; -1 where it is in none.
        closeness: (N,) in 0..1, 1 at the centre of its cluster.
        outlier_score: (N,) distance to the tenth neighbour over its median.
        copy_of: (N,) position of an earlier picture that looks the same; -1 where there is none.
        place: (N, 2) on the map, 0..1; not a number where it is not drawn.
        silhouette: how clearly clusters stand apart, -1..1; not a number for fewer than two.
        label_order: positions to label first, one of each cluster before any second.
    """

    cluster: NDArray[np.int64]
    closeness: Floats
    outlier_score: Floats
    copy_of: NDArray[np.int64]
    place: Floats
    silhouette: float
    label_order: NDArray[np.int64]


def require_scikit_learn() -> None:
    """Refuses to begin without it.

    Raises:
        SettingsError: it is not installed.
    """
    try:
        import sklearn  # noqa: F401, PLC0415 - an extra
    except ImportError as error:
        raise SettingsError(
            "package scikit-learn is not installed", "the extra `explore`", "Run pip install 'sortline[explore]'."
        ) from error


def structure_of(features: NDArray[np.float32], settings: ExploreSettings) -> Structure:
    """The structure of features (N, D), N at least 3."""
    from sklearn.neighbors import NearestNeighbors  # noqa: PLC0415 - an extra

    rows = _reduced(features, settings.seed)
    cluster, closeness, silhouette = _clusters(rows, settings)
    count = min(_NEIGHBOURS + 1, len(rows))
    distance, nearest = NearestNeighbors(n_neighbors=count).fit(rows).kneighbors(rows)
    far = distance[:, -1]
    return Structure(
        cluster=cluster,
        closeness=closeness,
        outlier_score=far / max(float(np.median(far)), 1e-12),
        copy_of=_copies(features, nearest, settings.duplicate_likeness),
        place=_map(rows, settings.seed),
        silhouette=silhouette,
        label_order=_label_order(rows, cluster, closeness, settings.to_label),
    )


def _reduced(features: NDArray[np.float32], seed: int) -> Floats:
    """(N, C) the directions in which pictures differ most, each as long as the others count."""
    from sklearn.decomposition import PCA  # noqa: PLC0415 - an extra

    scaled = (features - features.mean(0)) / (features.std(0) + 1e-6)
    components = min(_COMPONENTS, *scaled.shape)
    return np.asarray(PCA(components, random_state=seed).fit_transform(scaled), dtype=np.float64)


def _clusters(rows: Floats, settings: ExploreSettings) -> tuple[NDArray[np.int64], Floats, float]:
    from sklearn.cluster import HDBSCAN, KMeans  # noqa: PLC0415 - an extra

    if settings.method == "hdbscan":
        found = HDBSCAN(min_cluster_size=max(5, len(rows) // 100), copy=True).fit(rows)
        labels, closeness = np.asarray(found.labels_), np.asarray(found.probabilities_, dtype=np.float64)
    else:
        counts = [settings.clusters] if settings.clusters else range(2, min(_MOST_CLUSTERS, len(rows) - 1) + 1)
        tried = [KMeans(k, n_init=3, random_state=settings.seed).fit(rows) for k in counts]
        best = max(tried, key=lambda model: _silhouette(rows, model.labels_, settings.seed))
        labels, away = np.asarray(best.labels_), best.transform(rows).min(1)
        closeness = 1 - away / max(float(away.max()), 1e-12)
    sizes = np.bincount(labels[labels >= 0])
    rank = np.argsort(np.argsort(-sizes, kind="stable"), kind="stable")
    ordered = np.where(labels >= 0, rank[labels] if len(rank) else -1, -1)
    return ordered.astype(np.int64), closeness, _silhouette(rows, labels, settings.seed)


def _silhouette(rows: Floats, labels: NDArray[np.int64], seed: int) -> float:
    from sklearn.metrics import silhouette_score  # noqa: PLC0415 - an extra

    inside = np.flatnonzero(labels >= 0)
    kept = np.random.default_rng(seed).permutation(inside)[:_JUDGED_ROWS]
    if not 1 < len(np.unique(labels[kept])) < len(kept):
        return float("nan")
    return float(silhouette_score(rows[kept], labels[kept]))


def _copies(features: NDArray[np.float32], nearest: NDArray[np.int64], likeness: float) -> NDArray[np.int64]:
    """(N,) the first earlier neighbour whose features point the same way."""
    centred = features - features.mean(0)
    centred = centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-12)
    found = np.full(len(features), -1, dtype=np.int64)
    for k, neighbours in enumerate(nearest):
        earlier = np.sort(neighbours[neighbours < k])
        alike = earlier[centred[earlier] @ centred[k] >= likeness]
        if len(alike):
            found[k] = alike[0]
    return found


def _map(rows: Floats, seed: int) -> Floats:
    """(N, 2) by t-SNE (van der Maaten and Hinton 2008) of up to 3,000 rows, scaled to 0..1."""
    from sklearn.manifold import TSNE  # noqa: PLC0415 - an extra

    place = np.full((len(rows), 2), np.nan)
    kept = np.sort(np.random.default_rng(seed).permutation(len(rows))[:_MAPPED_ROWS])
    perplexity = min(_PERPLEXITY, (len(kept) - 1) / 3)
    found = TSNE(2, perplexity=perplexity, init="pca", random_state=seed).fit_transform(rows[kept])
    low, high = found.min(0), found.max(0)
    place[kept] = (found - low) / np.maximum(high - low, 1e-12)
    return place


def _label_order(rows: Floats, cluster: NDArray[np.int64], closeness: Floats, count: int) -> NDArray[np.int64]:
    """The centre of every cluster, largest first; then what is farthest from all that is taken."""
    centres = [
        int(mine[closeness[mine].argmax()])
        for k in range(int(cluster.max()) + 1)
        if len(mine := np.flatnonzero(cluster == k))
    ]
    centres = centres[:count]
    left = np.setdiff1d(np.arange(len(rows)), centres)
    spread = unsure_and_diverse(np.ones(len(left)), rows[left].astype(np.float32), count - len(centres), len(left))
    return np.concatenate([np.array(centres, dtype=np.int64), left[spread]])
