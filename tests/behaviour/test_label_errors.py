"""Planted label errors are found, by heads that never saw the picture; clean labels are left alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models.artifacts.tables import MANIFEST, table_of
from models.data.listing import listing_table
from models.data.scan import ScanSettings, scan_folder
from models.errors import DataError
from models.learning.label_errors import doubted_labels, find_label_errors, out_of_fold
from tests.pictures import write_labelled


def test_planted_errors_are_found_and_right_labels_are_not_doubted(tmp_path: Path) -> None:
    folder = write_labelled(tmp_path / "f", {"down": 20, "round": 20, "side": 20})
    planted = {"side/down-as-side.png": "down", "down/round-as-down.png": "round", "round/side-as-round.png": "side"}
    for wrong, true in planted.items():
        (folder / true / "0007.png").rename(folder / wrong)
        (folder / true / "0007.png").write_bytes((folder / true / "0006.png").read_bytes())
    manifest = scan_folder(folder, listing_table(folder), ScanSettings())
    issues = find_label_errors(folder, manifest, tmp_path / "features")
    found = dict(zip(issues["path"].to_pylist(), issues["suggested_label"].to_pylist(), strict=True))
    assert planted.items() <= found.items()
    assert len(found) <= 5


def test_prediction_of_a_row_does_not_know_its_label() -> None:
    """Labels without any relation to the features cannot be predicted out of fold, and could be by heart."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(200, 10)).astype(np.float32)
    index = rng.integers(0, 2, 200)
    probabilities = out_of_fold(features, index, np.arange(200) % 5, 0)
    assert probabilities.sum(1) == pytest.approx(np.ones(200))
    assert (probabilities.argmax(1) == index).mean() == pytest.approx(0.5, abs=0.1)


def test_clean_labels_and_the_suggestion() -> None:
    rows = table_of([{"path": f"{k}", "image_id": f"{k}"} for k in range(6)], MANIFEST)
    index = np.array([0, 0, 0, 1, 1, 1])
    sure = np.where(np.eye(2)[index] > 0, 0.9, 0.1)
    assert doubted_labels(rows, ["a", "b"], index, sure).num_rows == 0
    sure[2] = [0.05, 0.95]
    (issue,) = doubted_labels(rows, ["a", "b"], index, sure).to_pylist()
    assert (issue["path"], issue["label"], issue["suggested_label"]) == ("2", "a", "b")
    assert issue["label_score"] == pytest.approx(0.05)


def test_one_class_is_refused(tmp_path: Path) -> None:
    rows = table_of([{"path": "a", "image_id": "a", "label": "a", "status": "ok"}], MANIFEST)
    with pytest.raises(DataError, match="two classes or more"):
        find_label_errors(tmp_path, rows, tmp_path)
