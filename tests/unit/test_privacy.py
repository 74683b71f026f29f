"""Pictures that are to be forgotten, a head from which none can be told, and what a model gives away of them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from flows.command_line import app
from models.artifacts.durable import sha256_of
from models.artifacts.ref import seal
from models.artifacts.tables import encode_table
from models.artifacts.workspace import Workspace
from models.data.exclusion import exclusion_of, list_digest, read_exclusions
from models.data.listing import listing_table
from models.data.resample import ResamplingSettings, plan_resampling
from models.data.scan import ScanSettings, scan_folder
from models.data.split import SplitSettings, assign_splits
from models.errors import DataError, SettingsError
from models.judging.membership import advantage_of, area_of
from models.learning.fit import Places, Subject, fit_classifier
from models.learning.lesson import prepare_lesson
from models.learning.privacy_settings import PrivacySettings
from models.learning.private_head import fit_private_head
from models.learning.training_settings import TrainingSettings
from models.networks.registry import Build, find_network
from models.serving.bundle import read_bundle
from models.serving.forget import remembered
from models.serving.registry import Registry
from tests.chain import FAST, train_bundle
from tests.conftest import NOW
from tests.pictures import write_labelled


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_labelled(tmp_path / "pictures", {"down": 40, "round": 40})


def test_excluded_pictures_stay_out_under_any_name(folder: Path, tmp_path: Path) -> None:
    gone = folder / "down" / "0003.png"
    digest = sha256_of(gone)
    shutil.copy(gone, folder / "round" / "renamed.png")
    (tmp_path / "list.txt").write_text(f"{digest}\n{'f' * 64}\n")
    manifest = scan_folder(folder, listing_table(folder), ScanSettings(excluded=str(tmp_path / "list.txt")))
    told = {r["path"]: r["reason"] for r in manifest.to_pylist() if r["status"] == "ignored"}
    assert {name for name, reason in told.items() if reason == "excluded"} == {"down/0003.png", "round/renamed.png"}
    split = assign_splits(manifest, SplitSettings())
    assert digest not in set(split["image_id"].to_pylist())
    found = exclusion_of(split.schema.metadata)
    assert found is not None
    assert (found.listed, found.found) == (2, 2)
    assert found.list_sha256 == list_digest(frozenset({digest, "f" * 64}))


def test_lists_are_read_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text(f"path,sha256\nx,{'a' * 64}\n")
    assert read_exclusions(str(path)) == {"a" * 64}
    path.write_text("path,sha256\nx,short\n")
    with pytest.raises(DataError, match="no sha256"):
        read_exclusions(str(path))


def test_forgetting_is_shown_by_the_split(folder: Path, tmp_path: Path) -> None:
    """The first model learned from a picture; the second, trained without it, is shown not to have."""
    workspace = Workspace.open(tmp_path / "workspace")
    registry, digest = Registry(workspace), sha256_of(folder / "down" / "0003.png")
    (tmp_path / "list.txt").write_text(digest)
    for settings in (ScanSettings(), ScanSettings(excluded=str(tmp_path / "list.txt"))):
        split = assign_splits(scan_folder(folder, listing_table(folder), settings), SplitSettings())
        sealed = seal(workspace, "split", encode_table(split), suffix=".parquet", rows=split.num_rows)
        bundle = read_bundle(train_bundle(folder, workspace, "shapes", FAST, split=split, data_sha256=sealed.sha256))
        registry.promote("shapes", bundle, NOW, "made for tests")
    before, after = remembered(workspace, "shapes", frozenset({digest}))
    assert (before.outcome, before.is_champion) == ("learned", False)
    assert (after.outcome, after.is_champion) == ("clean", True)
    assert bundle.card.exclusion is not None
    words = ["forget", str(tmp_path / "list.txt"), "--name", "shapes", "--workspace", str(workspace.root), "--json"]
    done = CliRunner().invoke(app, words)
    answer = json.loads(done.stdout.splitlines()[-1])
    assert (done.exit_code, answer["clean"]) == (1, False)
    assert answer["dropped"] > 0
    sealed.path.unlink()
    assert remembered(workspace, "shapes", frozenset({digest}))[1].outcome == "unknown", (
        "what is not shown is not clean"
    )


def test_a_private_head_spends_what_was_allowed_and_learns() -> None:
    pytest.importorskip("opacus")
    rng = np.random.default_rng(0)
    index = np.arange(600) % 2
    rows = rng.normal(size=(600, 16)) + 3 * np.eye(2, 16)[index]
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    found = fit_private_head(rows.astype(np.float32), index, 2, PrivacySettings(epsilon=8, epochs=10), 0)
    assert 0 < found.report.epsilon <= 8
    assert found.report.delta == pytest.approx(0.1 / 600)
    weight, bias = found.layer
    assert ((rows @ weight.T + bias).argmax(1) == index).mean() > 0.8
    stricter = fit_private_head(rows.astype(np.float32), index, 2, PrivacySettings(epsilon=1, epochs=10), 0)
    assert stricter.report.noise_multiplier > found.report.noise_multiplier


def test_private_training_refuses_what_would_let_more_out(folder: Path, tmp_path: Path) -> None:
    split = assign_splits(scan_folder(folder, listing_table(folder), ScanSettings()), SplitSettings())
    settings = TrainingSettings(privacy=PrivacySettings(epsilon=3))
    lesson = prepare_lesson(folder, split, plan_resampling(split, ResamplingSettings()), settings)
    with pytest.raises(SettingsError, match=r"any length; training\.learner=auto; training\.refit_on_tune=true"):
        fit_classifier(lesson, Subject("private", "0" * 64), Places(tmp_path / "f", tmp_path / "s"))


def test_a_private_model_says_so_in_its_card(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("opacus")
    split = assign_splits(scan_folder(folder, listing_table(folder), ScanSettings()), SplitSettings())
    settings = TrainingSettings(
        network="unit/pixels", learner="frozen", refit_on_tune=False, privacy=PrivacySettings(epsilon=8, epochs=5)
    )
    lesson = prepare_lesson(folder, split, plan_resampling(split, ResamplingSettings()), settings)
    card = fit_classifier(lesson, Subject("private", "0" * 64), Places(tmp_path / "f", tmp_path / "s")).card
    assert card.privacy is not None
    assert card.privacy.epsilon <= 8
    assert card.train_objective is None, "what it says of training pictures would tell of them"


def test_unit_networks_give_rows_of_length_one() -> None:
    import torch

    trunk = find_network("unit/pixels").build(Build(0, 8))
    rows = trunk(torch.rand(3, 3, 8, 8))
    torch.testing.assert_close(rows.norm(dim=1), torch.ones(3))


def test_membership_is_half_a_chance_where_nothing_is_told() -> None:
    rng = np.random.default_rng(0)
    same = rng.normal(size=400)
    assert area_of(same, same) == 0.5
    assert area_of(same + 10, same) == 1.0
    assert advantage_of(same + 10, same) == 1.0
    assert advantage_of(same, same) == 0.0
