"""The short form of `benchmarks/scoring_kills.py`: kills hit runs in several states, and no row is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.scoring_kills import FILES, kill_often
from models.serving.bundle import Bundle
from tests.faults.scoring_cases import Case
from tests.pictures import write_inbox

pytestmark = pytest.mark.faults


def test_short_random_kills_leave_no_wrong_row(champion: Bundle, tmp_path: Path) -> None:
    case = Case(write_inbox(tmp_path / "inbox", FILES, damaged=True), champion.folder, tmp_path / "out")
    figures = kill_often(case, 18)
    assert figures["violations"] == 0, figures["first_violations"]
    assert figures["states"].keys() >= {"some parts", "committed in this trial"}, figures
