"""A folder without labels: clusters that are there, what stands alone, what is there twice, what to label first."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from flows.command_line import app
from models.artifacts.tables import EXPLORED, decode_table
from models.exploring.settings import ExploreSettings
from models.exploring.structure import structure_of
from tests.pictures import write_inbox


def _groups(rng: np.random.Generator) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """60, 40 and 20 rows around three far places, one row far from all, and a copy of the first."""
    centres = np.eye(3, 16) * 20
    rows = np.concatenate([rng.normal(size=(n, 16)) + centre for n, centre in zip((60, 40, 20), centres, strict=True)])
    return np.concatenate([rows, np.full((1, 16), 40.0), rows[:1]]).astype(np.float32)


@pytest.mark.parametrize("method", ["kmeans", "hdbscan"])
def test_what_is_there_is_found(method: str) -> None:
    rows = _groups(np.random.default_rng(0))
    settings = ExploreSettings.model_validate(
        {"method": method, "clusters": 4 if method == "kmeans" else 0, "to_label": 8}
    )
    found = structure_of(rows, settings)
    sizes = np.bincount(found.cluster[found.cluster >= 0])
    assert sorted(sizes.tolist(), reverse=True)[:3] in ([61, 40, 20], [60, 40, 20])
    assert sizes.tolist() == sorted(sizes.tolist(), reverse=True), "the largest comes first"
    assert found.outlier_score.argmax() == 120
    assert found.copy_of[121] == 0
    assert (found.copy_of[:120] == -1).all()
    assert ((found.place >= 0) & (found.place <= 1)).all()
    assert len(set(found.label_order.tolist())) == 8
    first = found.cluster[found.label_order[: found.cluster.max() + 1]]
    assert sorted(first.tolist()) == list(range(found.cluster.max() + 1)), "one of each cluster before any second"


def test_as_many_clusters_as_stand_apart() -> None:
    rows = _groups(np.random.default_rng(1))[:120]
    assert structure_of(rows, ExploreSettings()).cluster.max() == 2


def test_from_the_command_line(tmp_path: Path) -> None:
    folder = write_inbox(tmp_path / "<b>inbox", 24, damaged=True)
    words = ["explore", str(folder), "--workspace", str(tmp_path / "workspace"), "--json"]
    small = ["--set", "explore.network=pixels", "--set", "explore.clusters=3", "--set", "explore.to_label=6"]
    done = CliRunner().invoke(app, [*words, *small])
    assert done.exit_code == 0, done.output
    answer = json.loads(done.stdout.splitlines()[-1])
    assert sum(answer["clusters"]) == answer["pictures"] == 24
    table = decode_table(Path(answer["table"]).read_bytes(), EXPLORED)
    assert sorted(filter(None, table["label_order"].to_pylist())) == [1, 2, 3, 4, 5, 6]
    page = Path(answer["page"]).read_text()
    assert "<b>inbox" not in page
    assert "http" not in page.replace("http-equiv", "")
    assert "cluster-01" in Path(answer["label_page"]).read_text()
