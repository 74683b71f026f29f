from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from models.artifacts.tables import EVALUATION, PREDICTIONS, table_of
from models.data.folder_profile import ks_distance
from models.drift.measure import measure_drift
from models.drift.settings import DriftSettings
from models.serving.bundle import Bundle

FAST = DriftSettings(min_rows=200)


def _baseline(champion: Bundle, rows: int, rng: np.random.Generator) -> Bundle:
    found = [
        {
            "label": champion.card.classes[k % 3],
            "brightness": rng.beta(5, 5),
            "contrast": rng.beta(2, 8),
            "width_px": 64,
            "height_px": 48,
            "probabilities": rng.dirichlet(np.ones(3)),
        }
        for k in range(rows)
    ]
    return champion._replace(baseline=table_of(found, EVALUATION))


def _batch(bundle: Bundle, rows: int, rng: np.random.Generator, **changes: Any) -> pa.Table:
    """A batch drawn from the baseline, with changes on top."""
    picked = bundle.baseline.take(rng.integers(0, bundle.baseline.num_rows, rows)).to_pylist()
    return table_of([_prediction(bundle, row, **changes) for row in picked], PREDICTIONS)


def _prediction(bundle: Bundle, row: dict[str, Any], darker: float = 0.0, label: str | None = None) -> dict[str, Any]:
    best = int(np.argmax(row["probabilities"]))
    return {
        "status": "ok",
        "label": label or bundle.card.classes[best],
        "score": row["probabilities"][best],
        "top_labels": list(bundle.card.classes),
        "top_scores": row["probabilities"],
        "brightness": row["brightness"] - darker,
        "contrast": row["contrast"],
        "width_px": row["width_px"],
        "height_px": row["height_px"],
    }


def test_batches_from_the_baseline_are_quiet(champion: Bundle) -> None:
    rng = np.random.default_rng(0)
    bundle = _baseline(champion, 500, rng)
    reports = [measure_drift(_batch(bundle, 250, rng), bundle, FAST) for _ in range(20)]
    assert [r.status for r in reports].count("drift") <= 1


def test_darkened_batch_and_batch_of_one_class_are_found_by_their_measure(champion: Bundle) -> None:
    rng = np.random.default_rng(1)
    bundle = _baseline(champion, 500, rng)
    for changes, name in (({"darker": 0.15}, "brightness"), ({"label": "side"}, "predicted_class_mix")):
        report = measure_drift(_batch(bundle, 250, rng, **changes), bundle, FAST)
        assert [m.name for m in report.measures if m.status == "drift"] == [name]
        assert report.status == "drift"


@pytest.mark.parametrize(("rows", "status"), [(0, "not_enough_data"), (199, "not_enough_data"), (200, "ok")])
def test_batch_too_small_to_tell_is_never_ok(champion: Bundle, rows: int, status: str) -> None:
    rng = np.random.default_rng(2)
    bundle = _baseline(champion, 500, rng)
    assert measure_drift(_batch(bundle, rows, rng), bundle, FAST).status == status


def test_rows_without_a_score_are_not_compared(champion: Bundle) -> None:
    rng = np.random.default_rng(3)
    bundle = _baseline(champion, 500, rng)
    bad = table_of([{"status": "unreadable", "reason": "empty_file"}] * 300, PREDICTIONS)
    report = measure_drift(pa.concat_tables([_batch(bundle, 250, rng), bad]), bundle, FAST)
    assert report.rows == 250


def test_largest_gap_worked_out_by_hand() -> None:
    assert ks_distance(np.array([1.0, 2.0]), np.array([3.0, 4.0])) == 1.0
    assert ks_distance(np.array([1.0, 2.0]), np.array([1.0, 3.0])) == 0.5
    assert ks_distance(np.array([1.0, 1.0]), np.array([1.0])) == 0.0
