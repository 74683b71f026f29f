"""A report on robustness says what the served model answers to spoiled pictures; it is None where it is off."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from jinja2 import Environment
from PIL import Image

from models.artifacts.judging_records import RobustnessReport
from models.data.limits import NO_LIMITS
from models.data.split import TEST
from models.errors import ArtifactChanged
from models.judging.corruptions import CORRUPTIONS, SEVERITIES
from models.judging.robustness import (
    QUALITIES,
    SIZES,
    Kind,
    RobustnessSettings,
    examine_robustness,
    examined_rows,
    spoiled_score,
)
from models.reports.page import page_environment
from models.serving.bundle import Bundle
from models.serving.picture_scorer import PictureScorer
from tests.chain import split_of
from tests.judging_examples import robustness_report

SETTINGS = RobustnessSettings(pictures=12)


@pytest.fixture(scope="module")
def split(labelled: Path) -> pa.Table:
    return split_of(labelled)


@pytest.fixture(scope="module")
def report(labelled: Path, split: pa.Table, champion: Bundle) -> RobustnessReport:
    found = examine_robustness(labelled, split, champion.onnx_bytes, SETTINGS, np.random.default_rng(0))
    assert found is not None
    return found


def test_every_way_of_spoiling_is_there_with_its_numbers(report: RobustnessReport) -> None:
    assert [(s.name, s.severity) for s in report.corruptions] == [(n, s) for n in CORRUPTIONS for s in SEVERITIES]
    shifts = [*(("size", share) for share in SIZES), *(("jpeg_quality", quality) for quality in QUALITIES)]
    assert [(s.name, s.severity) for s in report.shifts] == shifts
    assert report.attacks == ()
    assert report.rows == 12
    mean = np.mean([score.balanced_accuracy for score in report.corruptions])
    assert report.mean_balanced_accuracy == pytest.approx(mean)
    means = {n: np.mean([s.balanced_accuracy for s in report.corruptions if s.name == n]) for n in CORRUPTIONS}
    assert means[report.worst] == min(means.values())


def test_unspoiled_answers_are_those_of_scoring(
    report: RobustnessReport, labelled: Path, split: pa.Table, champion: Bundle
) -> None:
    scorer = PictureScorer(champion.onnx_bytes, NO_LIMITS)
    rows = examined_rows(split, champion.card, 12, np.random.default_rng(0))
    hits: dict[str, list[bool]] = {label: [] for label in champion.card.classes}
    for row in rows:
        found = scorer.score(labelled / row["path"]).probabilities
        assert found is not None
        hits[row["label"]].append(champion.card.classes[int(found.argmax())] == row["label"])
    assert report.clean_balanced_accuracy == pytest.approx(np.mean([np.mean(own) for own in hits.values()]))


def test_heavy_harm_flips_answers_and_the_same_draw_gives_the_same_report(
    report: RobustnessReport, labelled: Path, split: pa.Table, champion: Bundle
) -> None:
    assert max(score.flip_rate for score in report.corruptions) > 0.2
    assert min(score.flip_rate for score in (*report.corruptions, *report.shifts)) == 0
    told: list[tuple[int, int]] = []
    again = examine_robustness(
        labelled, split, champion.onnx_bytes, SETTINGS, np.random.default_rng(0), lambda d, t: told.append((d, t))
    )
    assert again == report
    assert told == [(k + 1, 12) for k in range(12)]


def test_sample_is_of_the_test_split_with_classes_in_turn(split: pa.Table, champion: Bundle) -> None:
    rows = examined_rows(split, champion.card, 12, np.random.default_rng(3))
    test = set(split.filter(pc.equal(split["split"], TEST))["path"].to_pylist())
    assert {row["path"] for row in rows} <= test
    assert {label: sum(row["label"] == label for row in rows) for label in champion.card.classes} == dict.fromkeys(
        champion.card.classes, 4
    )


def test_nothing_is_said_where_it_is_off_or_pictures_have_several_labels(
    labelled: Path, split: pa.Table, champion: Bundle
) -> None:
    rng = np.random.default_rng(0)
    assert examine_robustness(labelled, split, champion.onnx_bytes, RobustnessSettings(pictures=0), rng) is None
    multi = champion.card.model_copy(update={"task": "multi_label"})
    assert examined_rows(split, multi, 12, rng) == []


def test_picture_that_was_changed_since_the_scan_is_refused(
    labelled: Path, split: pa.Table, champion: Bundle, tmp_path: Path
) -> None:
    for row in split.to_pylist():
        path = tmp_path / row["path"]
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (8, 8)).save(path)
    with pytest.raises(ArtifactChanged, match="other bytes than at the scan"):
        examine_robustness(tmp_path, split, champion.onnx_bytes, SETTINGS, np.random.default_rng(0))


def test_numbers_of_one_way_of_spoiling_are_those_counted_by_hand() -> None:
    true, clean, seen = (np.array(rows) for rows in ([0, 0, 0, 1], [0, 0, 1, 1], [0, 1, 1, 0]))
    found = spoiled_score(Kind("jpeg", 3), true, seen, clean, ("a", "b", "never seen"))
    assert (found.rows, found.accuracy) == (4, 0.25)
    assert found.balanced_accuracy == pytest.approx(1 / 6)
    assert (found.worst_class, found.worst_recall) == ("b", 0)
    assert found.flip_rate == 0.5


def _section(report: RobustnessReport | None) -> str:
    environment: Environment = page_environment()
    text = '{% from "robustness.html" import robustness_section %}{{ robustness_section(report) }}'
    return environment.from_string(text).render(report=report)


def test_section_shows_numbers_and_escapes_names(report: RobustnessReport) -> None:
    page = _section(report)
    assert f"{report.mean_balanced_accuracy:.3f}" in page
    assert "gaussian noise" in page
    assert "AutoAttack" not in page
    nasty = robustness_report(("<img src=x>",))
    attack = nasty.corruptions[0].model_copy(update={"name": "pgd_10", "severity": 8.0})
    page = _section(nasty.model_copy(update={"attacks": (attack,)}))
    assert "<img" not in page
    assert "this is not AutoAttack" in page
    assert "Not examined" in _section(None)
