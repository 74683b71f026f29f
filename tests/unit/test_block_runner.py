"""Pictures in blocks get the answers that they get alone, whoever shares their block, and one bad one costs one."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from models.data.limits import NO_LIMITS
from models.serving.block_runner import BlockRunner
from models.serving.bundle import Bundle
from models.serving.commit import OutputStore
from models.serving.picture_scorer import PictureScorer
from models.serving.score import ScoreJob, ScoringSettings, score_folder
from models.serving.session import CPU, ImageSession, SessionSettings, rows_a_call
from tests.conftest import NOW
from tests.pictures import write_inbox

Pixels = NDArray[np.uint8]


def _sums(pixels: Pixels) -> dict[str, NDArray[Any]]:
    return {"sum": pixels.reshape(len(pixels), -1).sum(1)}


def _picture(value: int) -> Pixels:
    return np.full((2, 2, 3), value, dtype=np.uint8)


def test_every_thread_gets_its_own_answer_and_blocks_are_full_where_they_can_be() -> None:
    shapes: list[int] = []
    lock = threading.Lock()

    def run(pixels: Pixels) -> dict[str, NDArray[Any]]:
        with lock:
            shapes.append(len(pixels))
        return _sums(pixels)

    runner = BlockRunner(run, (4, 2, 2, 3))
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda k: int(runner.answer(_picture(k))["sum"]), range(250)))
    runner.close()
    assert found == [12 * k for k in range(250)]
    assert set(shapes) == {4}, "the shape never changes"
    assert len(shapes) < 200, "pictures did share blocks"


def test_picture_that_fails_fails_alone() -> None:
    def run(pixels: Pixels) -> dict[str, NDArray[Any]]:
        if (pixels == 7).any():
            raise RuntimeError("trips over a seven")
        return _sums(pixels)

    runner = BlockRunner(run, (4, 2, 2, 3))

    def ask(k: int) -> object:
        try:
            return int(runner.answer(_picture(k))["sum"])
        except RuntimeError as error:
            return str(error)

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(ask, range(12)))
    runner.close()
    assert found == ["trips over a seven" if k == 7 else 12 * k for k in range(12)]


def test_folder_scored_in_blocks_has_the_rows_of_one_at_a_time(champion: Bundle, tmp_path: Path) -> None:
    inbox = write_inbox(tmp_path / "inbox", 21, damaged=True)
    rows = []
    for block_rows in (0, 8):
        settings = ScoringSettings(session=SessionSettings(block_rows=block_rows))
        score_folder(ScoreJob(inbox, champion, tmp_path / str(block_rows), settings), "run", lambda: NOW)
        rows.append({row["path"]: row for row in OutputStore(tmp_path / str(block_rows)).read().to_pylist()})
    assert rows[0].keys() == rows[1].keys()
    for path, alone in rows[0].items():
        together = rows[1][path]
        assert (together["status"], together["label"], together["sha256"]) == (
            alone["status"],
            alone["label"],
            alone["sha256"],
        )
        assert together["score"] == pytest.approx(alone["score"], abs=1e-5)


def test_bound_places_give_the_outputs_of_a_plain_run(champion: Bundle) -> None:
    """A GPU is not needed to see that binding is used as onnxruntime wants it; `make gpu` runs it on one."""
    session, rng = ImageSession(champion.onnx_bytes), np.random.default_rng(0)
    pixels = rng.integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    plain = session.run_block(pixels, session.outputs)
    bound = dict(zip(session.outputs, session.run_bound(pixels, session.outputs), strict=True))
    for name, array in plain.items():
        np.testing.assert_array_equal(bound[name], array)


def test_blocks_are_for_what_gains_by_them(champion: Bundle) -> None:
    assert rows_a_call(CPU, "cpu") == 1
    assert rows_a_call(SessionSettings(provider="cuda"), "cuda") == 32
    assert rows_a_call(SessionSettings(provider="cuda", allow_fallback=True), "cpu") == 1
    assert PictureScorer(champion.onnx_bytes, NO_LIMITS).blocks is None
