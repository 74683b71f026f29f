"""The bench measures every stage of the user's own pictures, writes nothing beside them, and says what it cannot do."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.errors import EmptyFolder
from models.serving.bench import BOUND_STAGES, ROUNDS, measure_folder
from models.serving.bundle import Bundle
from models.serving.score import ScoringSettings
from tests.pictures import write_inbox


def test_every_stage_is_measured_on_pictures_that_decode(champion: Bundle, tmp_path: Path) -> None:
    inbox = write_inbox(tmp_path / "inbox", 24, damaged=True)
    before = sorted(path.name for path in inbox.iterdir())
    rounds: list[tuple[int, int]] = []
    report = measure_folder(
        inbox, champion, ScoringSettings(threads=2), 20, lambda done, total: rounds.append((done, total))
    )
    assert sorted(path.name for path in inbox.iterdir()) == before
    assert rounds == [(k + 1, ROUNDS) for k in range(ROUNDS)]
    assert report.files == 20
    assert report.mean_pixels == 40 * 40
    assert report.threads == 2
    assert set(BOUND_STAGES) < report.stage_ms.keys()
    assert all(ms > 0 for ms in report.stage_ms.values())
    assert report.bound_per_s > 0
    assert report.run_per_s > 0


def test_too_few_pictures_are_refused(champion: Bundle, tmp_path: Path) -> None:
    inbox = write_inbox(tmp_path / "inbox", 15, damaged=True)
    with pytest.raises(EmptyFolder, match=r"15 of the first 21 files below .* decode.*at least 16"):
        measure_folder(inbox, champion, ScoringSettings(), 100)
