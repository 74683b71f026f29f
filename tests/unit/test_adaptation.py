"""A champion at a site: what is learned from a few labels, what is accepted, and what is served from it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from models.adaptation.adapt import adapt
from models.adaptation.held_out import balanced_accuracy, folds, sureness
from models.adaptation.settings import AdaptSettings
from models.adaptation.site_head import Rows, fit_site_head
from models.adaptation.site_pictures import SitePictures, look_at_site
from models.adaptation.tail import Tail
from models.artifacts.workspace import Workspace
from models.data.limits import NO_LIMITS
from models.data.listing import listing_table
from models.data.scan import ScanSettings, scan_folder
from models.errors import ArtifactChanged, DataError, SettingsError
from models.serving.bundle import Bundle
from models.serving.golden import check_golden
from models.serving.history import Deed
from models.serving.picture_scorer import PictureScorer
from models.serving.reader import read_predictions
from models.serving.registry import Registry
from models.serving.retention import retire
from models.serving.score import ScoreJob, ScoringSettings, score_folder
from models.serving.session import ImageSession
from models.serving.site_file import SiteFile
from models.serving.sites import keep_adaptation, open_scorer, open_served, remove_site, restore_site
from tests.conftest import MODEL, NOW
from tests.pictures import CLASSES, draw

DEED = Deed(NOW, "made for tests", "tests")
SCORING = ScoringSettings(settle_seconds=0, autotune=False)


def _turned(picture: Image.Image) -> Image.Image:
    """Another camera: a quarter turn, so that stripes run the other way."""
    return picture.rotate(90)


def _write(folder: Path, change: Callable[[Image.Image], Image.Image], a_class: int, seed: int) -> Path:
    rng = np.random.default_rng(seed)
    for label in CLASSES:
        (folder / label).mkdir(parents=True, exist_ok=True)
        for k in range(a_class):
            change(draw(label, rng)).save(folder / label / f"{k:03}.png")
    return folder


def _look(bundle: Bundle, folder: Path, features: Path) -> SitePictures:
    manifest = scan_folder(folder, listing_table(folder), ScanSettings(near_duplicate_bits=-1))
    return look_at_site(bundle, [(folder, manifest)], features)


@dataclass
class Site:
    """A site at which stripes run the other way."""

    folder: Path
    pictures: SitePictures


@pytest.fixture(scope="module")
def turned(champion: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Site:
    root = tmp_path_factory.mktemp("turned")
    folder = _write(root / "pictures", _turned, 12, 5)
    return Site(folder, _look(champion, folder, root / "features"))


def _adapted(registry: Registry, champion: Bundle, turned: Site, name: str) -> SiteFile:
    site = adapt(champion, turned.pictures, name, AdaptSettings()).site
    return keep_adaptation(registry, MODEL, site, DEED, is_accepted=True)


@pytest.fixture
def registry(champion_workspace: Workspace, tmp_path: Path) -> Registry:
    """Of a copy: what is recorded here is not in the history of other tests."""
    shutil.copytree(champion_workspace.root, tmp_path / "workspace")
    return Registry(Workspace.open(tmp_path / "workspace"))


def test_a_site_where_labels_mean_something_else_is_accepted(champion: Bundle, turned: Site) -> None:
    found = adapt(champion, turned.pictures, "north", AdaptSettings())
    proof = found.site.record.proof
    assert proof is not None
    assert found.is_accepted
    assert proof.base < 0.5
    assert proof.adapted > 0.9


def test_labels_that_say_nothing_are_refused(champion: Bundle, turned: Site) -> None:
    rng = np.random.default_rng(0)
    drawn = tuple(str(label) for label in rng.permutation(np.array(turned.pictures.labels)))
    found = adapt(champion, turned.pictures._replace(labels=drawn), "north", AdaptSettings())
    assert not found.is_accepted
    assert "held-out pictures" in found.reason


def test_without_labels_it_is_taken_only_when_asked_for(champion: Bundle, turned: Site) -> None:
    bare = turned.pictures._replace(labels=(None,) * len(turned.pictures.labels))
    few = AdaptSettings(align_from_pictures=20)
    assert not adapt(champion, bare, "north", few).is_accepted
    assert adapt(champion, bare, "north", few.model_copy(update={"without_proof": True})).is_accepted
    with pytest.raises(DataError, match="none with a label"):
        adapt(champion, bare, "north", AdaptSettings())


def test_classes_are_added_and_left_out(champion: Bundle, turned: Site) -> None:
    labels = tuple("dots" if label == "round" else label for label in turned.pictures.labels)
    settings = AdaptSettings(leave_out=("round",))
    record = adapt(champion, turned.pictures._replace(labels=labels), "north", settings).site.record
    assert (record.classes, record.new_classes, record.left_out) == (("down", "side", "dots"), ("dots",), ("round",))
    assert record.proof is not None
    assert {c.label: c.adapted > 0.8 for c in record.proof.classes if c.is_new} == {"dots": True}
    with pytest.raises(DataError, match=r"adapt\.leave_out with round"):
        adapt(champion, turned.pictures, "north", settings)
    only = tuple(label if label == "down" else None for label in turned.pictures.labels)
    with pytest.raises(DataError, match=r"fewer than 5 labelled pictures of round \(0\), side \(0\)"):
        adapt(champion, turned.pictures._replace(labels=only), "north", AdaptSettings())
    with pytest.raises(DataError, match="fewer than 20 labelled"):
        adapt(champion, turned.pictures, "north", AdaptSettings(least_labelled=20))


def test_the_graph_answers_as_the_numbers_say(champion: Bundle, turned: Site, registry: Registry) -> None:
    """From a file to an answer, the whole graph says what its tail says of the kept embedding."""
    kept = _adapted(registry, champion, turned, "n")
    served = open_scorer(registry, MODEL, SCORING.model_copy(update={"site": "n"}))
    scorer = PictureScorer(served.onnx_bytes, NO_LIMITS)
    assert check_golden(served.golden, scorer) <= 1e-3
    path = turned.folder / "side" / "000.png"
    answers = scorer.score(path).answers
    assert answers is not None
    assert answers.ood_score is not None
    embedding = ImageSession(champion.onnx_bytes).run(
        champion.card.preprocess.apply(Image.open(path).convert("RGB")), ("embedding",)
    )["embedding"]
    tail = Tail(served.onnx_bytes).run(embedding[np.newaxis], "probabilities")[0]
    np.testing.assert_allclose(answers.probabilities, tail, atol=1e-5)
    assert kept.path is not None
    assert kept.path.stat().st_size < 40_000


def test_rows_say_for_which_site_and_the_base_is_left_alone(
    champion: Bundle, turned: Site, registry: Registry, tmp_path: Path
) -> None:
    _adapted(registry, champion, turned, "north")
    inbox = _write(tmp_path / "inbox", _turned, 4, 9)
    told = {}
    for site in ("north", ""):
        settings = SCORING.model_copy(update={"site": site, "processes": 2 if site else 1})
        bundle = open_scorer(registry, MODEL, settings)
        score_folder(ScoreJob(inbox, bundle, tmp_path / f"out{site}", settings), "run", lambda: NOW)
        rows = read_predictions(tmp_path / f"out{site}").to_pylist()
        assert {row["site"] for row in rows} == {site or None}
        assert {row["bundle_sha256"] for row in rows} == {bundle.sha256}
        assert open_served(registry, MODEL, bundle.sha256).card == bundle.card
        told[site] = np.mean([row["label"] == row["path"].split("/")[0] for row in rows])
    assert told["north"] > 0.8 > told[""]


def test_sites_are_removed_restored_and_apart(champion: Bundle, turned: Site, registry: Registry) -> None:
    first = adapt(champion, turned.pictures, "north", AdaptSettings()).site
    other = adapt(champion, turned.pictures, "north", AdaptSettings(seed=1, base_share=0.5)).site
    kept = [keep_adaptation(registry, MODEL, site, DEED, is_accepted=True) for site in (first, other)]
    events = len(registry.history(MODEL))
    keep_adaptation(registry, MODEL, other, DEED, is_accepted=True)
    assert len(registry.history(MODEL)) == events, "the same adaptation again changes nothing"
    assert restore_site(registry, MODEL, "north", "", DEED) == kept[0].sha256
    assert remove_site(registry, MODEL, "north", DEED) == kept[0].sha256
    for site in ("north", "south"):
        with pytest.raises(SettingsError, match=f"not adapted to a site '{site}'"):
            open_scorer(registry, MODEL, SCORING.model_copy(update={"site": site}))
    assert restore_site(registry, MODEL, "north", kept[1].sha256[:8], DEED) == kept[1].sha256
    assert kept[1].path is not None
    kept[1].path.write_bytes(kept[1].path.read_bytes()[:-1] + b"x")
    with pytest.raises(ArtifactChanged, match="other bytes"):
        open_scorer(registry, MODEL, SCORING.model_copy(update={"site": "north"}))


def test_a_refused_adaptation_leaves_the_one_before(champion: Bundle, turned: Site, registry: Registry) -> None:
    site = adapt(champion, turned.pictures, "north", AdaptSettings()).site
    kept = keep_adaptation(registry, MODEL, site, DEED, is_accepted=True)
    other = adapt(champion, turned.pictures, "north", AdaptSettings(base_share=0.5)).site
    keep_adaptation(registry, MODEL, other, DEED, is_accepted=False)
    found = open_scorer(registry, MODEL, SCORING.model_copy(update={"site": "north"}))
    assert found.site is not None
    assert found.site.sha256 == kept.sha256
    assert [event.event for event in registry.history(MODEL)][-2:] == ["adapted", "adaptation_refused"]


def test_the_bundle_of_a_site_is_not_retired(champion: Bundle, turned: Site, registry: Registry) -> None:
    """Though other champions followed, so many that it would be deleted for its age."""
    _adapted(registry, champion, turned, "n")
    for k in range(3):
        other = champion._replace(sha256=f"{k}" * 64)
        shutil.copytree(champion.folder, registry.bundle_folder(MODEL, other.sha256))
        registry.promote(MODEL, other, NOW, "made for tests")
    assert champion.sha256 not in {gone.bundle_sha256 for gone in retire(registry, MODEL, DEED, keep=1)}
    remove_site(registry, MODEL, "n", DEED)
    assert champion.sha256 in {gone.bundle_sha256 for gone in retire(registry, MODEL, DEED, keep=1)}


@given(st.lists(st.integers(2, 9), min_size=1, max_size=4), st.integers(2, 7), st.integers(0, 5))
def test_every_row_is_judged_once(sizes: list[int], count: int, seed: int) -> None:
    index = np.repeat(np.arange(len(sizes)), sizes)
    judged = np.zeros(len(index), dtype=int)
    for train, held in folds(index, count, seed):
        assert not set(train.tolist()) & set(held.tolist())
        assert set(index[train]) == set(index), "every class can be learned from"
        judged[held] += 1
    assert judged.tolist() == [1] * len(index)


def test_sureness_is_half_where_nothing_differs() -> None:
    index = np.repeat([0, 1], 10)
    same = index.astype(bool)
    assert sureness(index, same, same.astype(float), 0) == 0.5
    assert sureness(index, np.zeros(20, dtype=bool), np.ones(20), 0) == 1.0
    assert balanced_accuracy(np.array([0, 0, 0, 1]), np.array([1.0, 1.0, 1.0, 0.0])) == 0.5


def test_a_head_under_a_great_penalty_is_the_champion() -> None:
    rng = np.random.default_rng(0)
    rows = Rows(rng.normal(size=(30, 8)), rng.normal(size=(30, 3)), np.arange(30) % 3)
    head = fit_site_head(rows, 1.0, 1e6)
    assert np.abs(head.weight).max() < 1e-4
    free = fit_site_head(rows, 0.0, 1e-4)
    assert (free.logits(rows).argmax(1) == rows.class_index).mean() > 0.7
