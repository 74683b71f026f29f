"""A candidate beside the champion: counted right, without a trace in the predictions, and never in the run's way."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from models.artifacts.judging_records import ShadowReport
from models.artifacts.workspace import Workspace
from models.data.limits import DecodeLimits
from models.errors import SettingsError
from models.reports.shadow import shadow_rows, write_shadow_page
from models.serving.bundle import Bundle, BundleParts, read_bundle, write_bundle
from models.serving.commit import OutputStore
from models.serving.golden import golden_files, golden_table
from models.serving.picture_scorer import CARD_KEY, PictureScorer
from models.serving.reader import scored_batch
from models.serving.registry import Registry
from models.serving.score import ScoreJob, ScoringSettings, score_folder
from models.serving.shadow import ShadowSettings, shadow_beside, shadow_digest
from tests.conftest import MODEL, NOW
from tests.pictures import write_inbox
from tests.registry_cases import DEED, bundle_named

SETTINGS = ScoringSettings()


@pytest.fixture
def place(champion_workspace: Workspace, tmp_path: Path) -> Workspace:
    """A workspace of its own with the champion."""
    return Workspace.open(shutil.copytree(champion_workspace.root, tmp_path / "workspace"))


@pytest.fixture
def other(champion: Bundle, place: Workspace) -> Bundle:
    """A candidate that waits, and that leans towards the first class."""
    model = onnx.load_from_string(champion.onnx_bytes)
    (bias,) = [t for t in model.graph.initializer if t.name.startswith("head_") and t.name.endswith("_bias")]
    leaning = numpy_helper.to_array(bias) + np.array([12, 0, 0], dtype=np.float32)
    bias.CopyFrom(numpy_helper.from_array(leaning, bias.name))
    data = model.SerializeToString()
    golden = golden_table(golden_files(champion.golden), PictureScorer(data, DecodeLimits()))
    parts = BundleParts(data, data, champion.card, champion.scorecard, champion.baseline, golden)
    folder, _ = write_bundle(Registry(place).bundles_dir(MODEL), parts, "# Shapes\n")
    found = read_bundle(folder)
    Registry(place).propose(MODEL, found, DEED)
    return found


def _beside(place: Workspace, inbox: Path, out: Path, sha256: str, pictures: int = 0) -> ShadowReport:
    bundle = Registry(place).open_champion(MODEL)
    summary = score_folder(ScoreJob(inbox, bundle, out, SETTINGS), "run", lambda: NOW)
    settings = ShadowSettings(bundle=sha256[:12], pictures=pictures), SETTINGS
    return shadow_beside(Registry(place), MODEL, sha256, (inbox, scored_batch(summary)), settings)


def test_agreement_and_changes_are_those_of_the_two_models(place: Workspace, other: Bundle, tmp_path: Path) -> None:
    inbox, out = write_inbox(tmp_path / "inbox", 30, damaged=True), tmp_path / "out"
    report = _beside(place, inbox, out, other.sha256)
    scorer = PictureScorer(other.onnx_bytes, DecodeLimits())
    rows = [row for row in OutputStore(out).read().to_pylist() if row["status"] == "ok"]
    answers = [scorer.score(inbox / row["path"]).probabilities for row in rows]
    labels = [other.card.classes[int(np.argmax(shares))] for shares in answers if shares is not None]
    same = sum(row["label"] == label for row, label in zip(rows, labels, strict=True))
    assert report.agreement is not None
    assert (report.rows, report.agreement.value) == (30, same / 30)
    assert 0 < same < 30, "the candidate leans, but not always"
    assert sum(change.rows for change in report.changed) == 30 - same
    assert {change.predicted for change in report.changed} == {other.card.classes[0]}
    assert report.candidate is not None
    assert report.candidate.labels == {label: labels.count(label) for label in sorted(set(labels))}
    page = write_shadow_page(tmp_path, MODEL, inbox, report).read_text()
    assert page.count("<figure>") == min(30 - same, 24)
    assert "://" not in page


def test_predictions_are_the_same_bytes_with_and_without_a_shadow(
    place: Workspace, other: Bundle, tmp_path: Path
) -> None:
    inbox = write_inbox(tmp_path / "inbox", 5, damaged=False)
    _beside(place, inbox, tmp_path / "with", other.sha256)
    score_folder(
        ScoreJob(inbox, Registry(place).open_champion(MODEL), tmp_path / "without", SETTINGS), "run", lambda: NOW
    )
    parts = [
        [part.read_bytes() for part in (tmp_path / out / "data").rglob("*.parquet")] for out in ("with", "without")
    ]
    assert parts[0] == parts[1] != []


def test_changed_and_unasked_pictures_are_counted(place: Workspace, other: Bundle, tmp_path: Path) -> None:
    inbox, out = write_inbox(tmp_path / "inbox", 6, damaged=False), tmp_path / "out"
    bundle = Registry(place).open_champion(MODEL)
    summary = score_folder(ScoreJob(inbox, bundle, out, SETTINGS), "run", lambda: NOW)
    (inbox / "picture-0000.png").write_bytes((inbox / "picture-0001.png").read_bytes())
    (inbox / "picture-0003.png").unlink()
    settings = ShadowSettings(bundle="candidate", pictures=4), SETTINGS
    report = shadow_beside(Registry(place), MODEL, other.sha256, (inbox, scored_batch(summary)), settings)
    assert report.left_out == {"changed since it was scored": 1, "vanished": 1}
    assert (report.rows, report.not_asked) == (2, 2)


@pytest.mark.parametrize("damage", ["golden", "gone", "classes"])
def test_candidate_that_fails_is_reported_and_fails_nothing(
    place: Workspace, champion: Bundle, tmp_path: Path, damage: str
) -> None:
    inbox, sha256 = write_inbox(tmp_path / "inbox", 3, damaged=False), champion.sha256
    if damage == "classes":
        card = champion.card.model_copy(update={"classes": ("up", "square", "flat")})
        graph = onnx.load_from_string(champion.onnx_bytes)
        (entry,) = [entry for entry in graph.metadata_props if entry.key == CARD_KEY]
        entry.value = card.model_dump_json()
        model = graph.SerializeToString()
        parts = BundleParts(model, model, card, champion.scorecard, champion.baseline, champion.golden)
        folder, _ = write_bundle(Registry(place).bundles_dir(MODEL), parts, "# Others\n")
        sha256 = read_bundle(folder).sha256
    else:
        waiting = bundle_named(champion, place, "waiting")
        sha256 = waiting.sha256
        target = waiting.folder / "golden.parquet"
        target.write_bytes(b"x") if damage == "golden" else shutil.rmtree(waiting.folder)
    report = _beside(place, inbox, tmp_path / "out", sha256)
    words = {"golden": "golden.parquet", "gone": "no bundle", "classes": "the champion's classes"}
    assert report.failure is not None
    assert words[damage] in report.failure
    assert dict(shadow_rows(report))["failed"] == report.failure
    write_shadow_page(tmp_path, MODEL, inbox, report)


def test_bundle_that_is_asked_for_has_to_exist(place: Workspace, other: Bundle, champion: Bundle) -> None:
    registry = Registry(place)

    def digest(wish: str) -> str | None:
        return shadow_digest(registry, MODEL, ShadowSettings(bundle=wish))

    assert digest("") is None
    assert digest("candidate") == other.sha256 == digest(other.sha256[:10])
    with pytest.raises(SettingsError, match="fits 0 bundles of shapes"):
        digest("abcdef123456")
    with pytest.raises(SettingsError, match="is the champion itself"):
        digest(champion.sha256[:12])
    registry.refuse(MODEL, other, NOW, "no")
    assert digest("candidate") is None, "a scheduled run goes on where nobody waits"
