"""How far a scored batch is from the bundle's baseline; a batch too small to tell says so, never `ok`.

A measure alarms only where its distance exceeds both a fixed effect size and what chance gives at the batch's own
number of rows, bootstrapped from the baseline.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import Field

from models.artifacts.records import DriftMeasure, DriftReport, ScoreSummary
from models.data.folder_profile import ks_distance
from models.learning.multi_label_metrics import given_labels
from models.serving.bundle import Bundle
from models.serving.commit import OutputStore
from models.settings import Settings

Floats = NDArray[np.float64]
# Larger batches are judged by the limit of this size: it is a little higher, and the draws stay fast.
_LARGEST_DRAW = 5000
Distance = Callable[[NDArray[Any], NDArray[Any]], float]


class DriftSettings(Settings):
    """When a batch counts as drifted."""

    min_rows: int = Field(default=200, ge=20, description="Below this a batch is not judged.", title="Least rows")
    effect: float = Field(
        default=0.1, gt=0, lt=1, description="Smallest distance that matters, 0..1.", title="Effect size"
    )
    false_alarm_share: float = Field(
        default=0.01, gt=0, lt=0.5, description="Share of clean batches that may alarm.", title="False alarms"
    )
    bootstrap_rounds: int = Field(default=1000, ge=100, le=100_000, description="Draws.", title="Bootstrap rounds")
    seed: int = Field(default=0, ge=0, description="Of the bootstrap.", title="Seed")


def measure_drift(predictions: pa.Table, bundle: Bundle, settings: DriftSettings) -> DriftReport:
    """Distances of the scored rows of `predictions` from the test pictures that the bundle was judged on."""
    scored = predictions.filter(pc.equal(predictions["status"], "ok"))
    baseline, classes = bundle.baseline, bundle.card.classes
    probabilities = np.stack(baseline["probabilities"].to_pylist())
    numeric = {
        "score": (probabilities.max(1), scored["score"]),
        "brightness": (baseline["brightness"], scored["brightness"]),
        "contrast": (baseline["contrast"], scored["contrast"]),
    }
    judge = _Judge(settings, measure_count=len(numeric) + 1)
    measures = [judge.numeric(name, _floats(ref), _floats(cur)) for name, (ref, cur) in numeric.items()]
    if bundle.card.task == "multi_label":
        measures.append(judge.label_mix(given_labels(probabilities), _label_flags(scored, classes), classes))
    else:
        index = {label: k for k, label in enumerate(classes)}
        current = np.array([index[label] for label in scored["label"].to_pylist()], dtype=np.int64)
        measures.append(judge.class_mix(probabilities.argmax(1), current, classes))
    return DriftReport(
        model_name=bundle.card.name,
        bundle_sha256=bundle.sha256,
        rows=scored.num_rows,
        baseline_rows=baseline.num_rows,
        measures=tuple(measures),
    )


def _label_flags(scored: pa.Table, classes: tuple[str, ...]) -> NDArray[np.bool_]:
    """(N, K) which labels each picture was given."""
    given = [set(labels) for labels in scored["labels"].to_pylist()]
    flags = [[label in labels for label in classes] for labels in given]
    return np.array(flags, dtype=np.bool_).reshape(-1, len(classes))


def _floats(values: Floats | pa.ChunkedArray) -> Floats:
    if isinstance(values, pa.ChunkedArray):
        values = values.to_numpy()
    return np.asarray(values, dtype=np.float64)


def scored_batch(summary: ScoreSummary) -> pa.Table:
    """Rows of the plans that a summary names."""
    rows = OutputStore(Path(summary.out)).read(summary.bundle_sha256)
    return rows.filter(pc.is_in(rows["plan_id"], pa.array(summary.plan_ids, pa.string())))


class _Judge:
    """Compares one property after another under the same limits."""

    def __init__(self, settings: DriftSettings, measure_count: int) -> None:
        self._settings = settings
        self._rng = np.random.default_rng(settings.seed)
        # Alarms of several measures add up, so each gets its share (Bonferroni).
        self._quantile = 1 - settings.false_alarm_share / measure_count

    def numeric(self, name: str, ref: Floats, cur: Floats) -> DriftMeasure:
        """Kolmogorov-Smirnov distance of one property."""
        if len(cur) < self._settings.min_rows:
            return self._too_few(name, len(cur))
        explanation = f"mean {cur.mean():.3f}, baseline {ref.mean():.3f}"
        return self._judge(name, ref, cur, ks_distance, explanation)

    def class_mix(self, ref: NDArray[np.int64], cur: NDArray[np.int64], classes: tuple[str, ...]) -> DriftMeasure:
        """Total variation distance of the predicted class mix."""
        name = "predicted_class_mix"
        if len(cur) < self._settings.min_rows:
            return self._too_few(name, len(cur))

        def mix(index: NDArray[np.int64]) -> Floats:
            return np.bincount(index, minlength=len(classes)) / len(index)

        def distance(left: NDArray[np.int64], right: NDArray[np.int64]) -> float:
            return float(np.abs(mix(left) - mix(right)).sum() / 2)

        return self._judge(name, ref, cur, distance, _shares_text(classes, mix(cur), mix(ref)))

    def label_mix(self, ref: NDArray[np.bool_], cur: NDArray[np.bool_], classes: tuple[str, ...]) -> DriftMeasure:
        """Largest change of the share of pictures that are given a label, of all labels."""
        name = "predicted_class_mix"
        if len(cur) < self._settings.min_rows:
            return self._too_few(name, len(cur))

        def distance(left: NDArray[np.bool_], right: NDArray[np.bool_]) -> float:
            return float(np.abs(left.mean(0) - right.mean(0)).max())

        return self._judge(name, ref, cur, distance, _shares_text(classes, cur.mean(0), ref.mean(0)))

    def _judge(
        self, name: str, ref: NDArray[Any], cur: NDArray[Any], distance: Distance, explanation: str
    ) -> DriftMeasure:
        rounds, rng = self._settings.bootstrap_rounds, self._rng
        # A baseline and a batch as chance would draw both: the baseline is a sample too.
        drawn = min(len(cur), _LARGEST_DRAW)
        null = [distance(rng.choice(ref, len(ref)), rng.choice(ref, drawn)) for _ in range(rounds)]
        limit = max(self._settings.effect, float(np.quantile(null, self._quantile)))
        found = distance(ref, cur)
        return DriftMeasure(
            name=name,
            status="drift" if found > limit else "ok",
            rows=len(cur),
            distance=found,
            limit=limit,
            explanation=explanation,
        )

    def _too_few(self, name: str, rows: int) -> DriftMeasure:
        explanation = f"{rows} scored pictures, at least {self._settings.min_rows} are needed"
        return DriftMeasure(
            name=name, status="not_enough_data", rows=rows, distance=None, limit=None, explanation=explanation
        )


def _shares_text(classes: tuple[str, ...], now: Floats, then: Floats) -> str:
    shares = zip(classes, now, then, strict=True)
    return ", ".join(f"{name} {share:.2f} (baseline {before:.2f})" for name, share, before in shares)
