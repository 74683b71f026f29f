"""The queue: the least sure first, but not the same thing again and again, and only pictures that are still there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.artifacts.workspace import Workspace
from models.errors import EmptyFolder
from models.review.diverse import doubt_of, unsure_and_diverse
from models.review.review_queue import DRIFTED, Scored, queue_of_scored
from models.review.settings import ReviewSettings
from models.serving.bundle import Bundle
from models.serving.score import ScoreJob, ScoringSettings, score_folder
from tests.conftest import NOW
from tests.pictures import write_inbox


@given(st.integers(1, 30), st.integers(1, 12), st.integers(1, 5), st.integers(0, 9))
def test_as_many_as_are_wanted_each_once(rows: int, count: int, shortlist: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    doubt, embeddings = rng.uniform(0.01, 1, rows), rng.normal(size=(rows, 3)).astype(np.float32)
    found = unsure_and_diverse(doubt, embeddings, count, shortlist)
    assert len(set(found.tolist())) == len(found) == min(rows, count)
    assert found[0] == doubt.argmax()
    ranks = np.argsort(np.argsort(-doubt))
    assert ranks[found].max() < count * shortlist, "only out of the shortlist"


def test_copies_are_asked_about_once() -> None:
    """Ten copies of the most doubtful picture would fill a queue that goes by doubt alone."""
    embeddings = np.array([[1.0, 0]] * 10 + [[0, 1.0], [-1.0, 0], [0, -1.0]], dtype=np.float32)
    doubt = np.array([0.9] * 10 + [0.5, 0.4, 0.3])
    assert set(unsure_and_diverse(doubt, embeddings, 4, 5).tolist()) == {0, 10, 11, 12}


def test_doubt_is_how_near_the_second_class_is() -> None:
    np.testing.assert_allclose(doubt_of(np.array([[0.5, 0.5, 0.0], [0.1, 0.8, 0.1]])), [1.0, 0.3])


def test_the_queue_of_a_scored_folder(champion: Bundle, champion_workspace: Workspace, tmp_path: Path) -> None:
    inbox = write_inbox(tmp_path / "inbox", 30, damaged=True)
    settings = ScoringSettings(settle_seconds=0, autotune=False)
    summary = score_folder(ScoreJob(inbox, champion, tmp_path / "out", settings), "run", lambda: NOW)
    (inbox / "picture-0003.png").unlink()
    features = tmp_path / "features"
    scored = Scored(inbox, tmp_path / "out", champion, frozenset(), features)
    asked = ReviewSettings(count=10)
    queue = queue_of_scored(scored, asked).to_pylist()
    assert [row["rank"] for row in queue] == list(range(1, 11))
    assert [row["doubt"] for row in queue] == sorted((row["doubt"] for row in queue), reverse=True)
    assert "picture-0003.png" not in {row["path"] for row in queue}
    assert all(row["path"].startswith("picture-") for row in queue), "damaged files are nobody's to name"
    known = tmp_path / "known.csv"
    known.write_text(f"sha256,label\n{queue[0]['image_id']},down\n")
    again = queue_of_scored(scored, asked.model_copy(update={"known": str(known)})).to_pylist()
    assert queue[0]["path"] not in {row["path"] for row in again}, "a person has said what it shows"
    drifted = queue_of_scored(scored._replace(drifted_plans=frozenset(summary.plan_ids)), asked).to_pylist()
    assert all(DRIFTED in row["reasons"] for row in drifted)
    for path in inbox.iterdir():
        path.unlink()
    with pytest.raises(EmptyFolder):
        queue_of_scored(scored, asked)
