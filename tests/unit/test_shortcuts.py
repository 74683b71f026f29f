from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from models.data.shortcuts import property_shortcuts, rank_aucs


def test_auc_is_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    index = rng.integers(0, 3, 200)
    values = np.round(rng.normal(size=200) + index, 1)
    found = rank_aucs(values, index, 3)
    for k in range(3):
        assert found[k] == pytest.approx(roc_auc_score(index == k, values), abs=1e-9)


def test_property_that_gives_a_class_away_is_found_whichever_way_it_points() -> None:
    rng = np.random.default_rng(1)
    index = rng.integers(0, 3, 300)
    numbers = {"noise": rng.normal(size=300), "size": rng.normal(size=300) - 10 * (index == 2)}
    categories = {"format": (index == 0).astype(np.int64), "mode": np.zeros(300, np.int64)}
    found = property_shortcuts(numbers, categories, index, 20)
    assert [(s.property_name, s.class_index) for s in found[:2]] == [("format", 0), ("size", 2)]
    assert all(s.auc > 0.99 for s in found[:2])
    assert all(s.auc < 0.7 for s in found[2:])


@pytest.mark.parametrize("rows", [0, 1, 19])
def test_class_of_few_rows_is_not_judged(rows: int) -> None:
    index = np.array([0] * 50 + [1] * rows)
    found = property_shortcuts({"x": index.astype(float)}, {"y": index}, index, 20)
    assert found == []


def test_unknown_values_are_no_error() -> None:
    index = np.repeat([0, 1], 30)
    (found,) = property_shortcuts({"x": np.where(index, np.nan, 1.0)}, {}, index, 20)
    assert found.auc == 1
