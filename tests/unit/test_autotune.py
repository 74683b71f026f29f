from __future__ import annotations

from pathlib import Path

import pytest

from models.data.preprocess import Preprocess
from models.serving import autotune, score
from models.serving.autotune import measure, options, tuned
from models.serving.bundle import Bundle
from models.serving.score import ScoreJob, ScoringSettings, score_folder
from models.serving.session import ImageSession, SessionSettings
from tests.pictures import write_inbox


def _clock(monkeypatch: pytest.MonkeyPatch, fastest: int, gain: float) -> list[int]:
    """Gives a clock's answers beforehand, the option at `fastest` so much better; the list grows by every asking."""
    asked: list[int] = []

    def rate(session: ImageSession, preprocess: Preprocess, files: list[bytes], threads: int) -> float:
        position = len(asked) % len(options(2, "float"))
        asked.append(position)
        return 100 * gain if position == fastest else 100.0

    monkeypatch.setattr(autotune, "rate", rate)
    monkeypatch.setattr(autotune, "usable_cores", lambda: 2)
    return asked


@pytest.mark.parametrize(("gain", "position"), [(1.03, 0), (1.2, 2)])
def test_only_what_is_clearly_faster_takes_the_place_of_the_default(
    champion: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gain: float, position: int
) -> None:
    asked = _clock(monkeypatch, 2, gain)
    found = tuned(champion.onnx_bytes, champion.card, [], tmp_path)
    assert found.option == options(2, "float")[position]
    assert len(found.pictures_per_s) == 3
    count = len(asked)
    assert tuned(champion.onnx_bytes, champion.card, [], tmp_path) == found
    assert len(asked) == count, "it is measured once a machine"


def test_measured_rates_are_of_whole_pictures(champion: Bundle) -> None:
    found = measure(champion.onnx_bytes, champion.card, champion.golden["picture"].to_pylist())
    assert all(value > 0 for value in found.pictures_per_s.values())
    assert [option.graph_level for option in options(1, "int8")] == ["all"], "another graph rounds otherwise"


def test_run_of_many_files_is_tuned_unless_a_person_has_chosen(
    champion: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _clock(monkeypatch, 2, 2.0)
    monkeypatch.setattr(score, "_TUNED_FROM_ROWS", 4)
    inbox = write_inbox(tmp_path / "inbox", 5, damaged=False)
    seen: list[tuple[int, SessionSettings]] = []
    real = score._tuned
    monkeypatch.setattr(score, "_tuned", lambda job, rows: _kept(seen, real(job, rows)))
    for name, settings in (("auto", ScoringSettings()), ("own", ScoringSettings(threads=1))):
        score_folder(ScoreJob(inbox, champion, tmp_path / name, settings, tmp_path / "tuning"), "run")
    few = ScoreJob(write_inbox(tmp_path / "few", 3, damaged=False), champion, tmp_path / "out", ScoringSettings())
    score_folder(few, "run")
    assert seen == [(1, SessionSettings(intra_threads=2)), (1, SessionSettings()), (0, SessionSettings())]


def _kept(seen: list[tuple[int, SessionSettings]], settings: ScoringSettings) -> ScoringSettings:
    seen.append((settings.threads, settings.session))
    return settings
