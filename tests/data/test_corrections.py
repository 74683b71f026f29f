"""What people said of pictures: read in every shape, kept beside them, and where it came from is told."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from typer.testing import CliRunner

from flows.command_line import app
from models.artifacts.durable import sha256_of
from models.artifacts.tables import MANIFEST, REVIEW, decode_table, encode_table, table_of
from models.data.corrections import Correction, keep_corrections, read_corrections
from models.data.listing import listing_table
from models.data.scan import ScanSettings, scan_folder
from models.data.split import usable_rows
from models.errors import DataError
from models.review.label_studio import label_studio_config, label_studio_tasks
from tests.pictures import draw


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for name in ("down/a.png", "side/b.png", "c.png"):
        (tmp_path / "pictures" / name).parent.mkdir(parents=True, exist_ok=True)
        draw("down", rng).save(tmp_path / "pictures" / name)
    return tmp_path / "pictures"


def _labels(folder: Path, **settings: str) -> dict[str, tuple[str | None, str | None]]:
    table = scan_folder(folder, listing_table(folder), ScanSettings.model_validate(settings))
    return {r["path"]: (r["label"], r["label_source"]) for r in usable_rows(table).to_pylist()}


def test_a_word_counts_above_the_folder_and_says_whose_it_is(folder: Path, tmp_path: Path) -> None:
    assert _labels(folder) == {"down/a.png": ("down", "folders"), "side/b.png": ("side", "folders")}
    said = [
        Correction(sha256_of(folder / "side/b.png"), "down", "side", "Ann", "2026-11-30T10:00:00Z"),
        Correction(sha256_of(folder / "c.png"), "side"),
    ]
    assert keep_corrections(folder, {c.sha256: c for c in said}) == 2
    assert _labels(folder) == {
        "down/a.png": ("down", "folders"),
        "side/b.png": ("down", "review Ann 2026-11-30"),
        "c.png": ("side", "review"),
    }
    later = Correction(said[0].sha256, "")
    keep_corrections(folder, {later.sha256: later})
    assert "side/b.png" not in _labels(folder), "left out by a later word"
    (tmp_path / "other.json").write_text(json.dumps({"corrections": [said[0]._asdict()]}))
    assert _labels(folder, corrections=str(tmp_path / "other.json"))["side/b.png"][0] == "down"


def test_pictures_are_brought_from_a_scored_folder(folder: Path, tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    rng = np.random.default_rng(9)
    for name in ("x.png", "y.png", "z.png"):
        draw("side", rng).save(inbox / name)
    labels = {"x.png": "side", "y.png": "", "z.png": "new"}
    rows = [{"sha256": sha256_of(inbox / n), "label": v, "path": n} for n, v in labels.items()]
    (tmp_path / "c.json").write_text(json.dumps({"corrections": rows}))
    words = ["corrections", "apply", str(tmp_path / "c.json"), "--to", str(folder), "--from", str(inbox), "--json"]
    for copied in (2, 0):
        done = CliRunner().invoke(app, words)
        assert json.loads(done.stdout.splitlines()[-1])["copied"] == copied, done.output
    found = _labels(folder)
    assert sorted(str(v) for v, source in found.values() if source == "review") == ["new", "side"]
    assert len(found) == 4


def test_label_studio_and_back(folder: Path, tmp_path: Path) -> None:
    told = {"image_id": "a" * 64, "path": "c.png", "suggested_label": "<b>", "score": 0.5, "reasons": ["unsure"]}
    (task,) = json.loads(label_studio_tasks(table_of([{"rank": 1, **told}], REVIEW), "/data/local-files/?d=in"))
    assert task["data"]["image"] == "/data/local-files/?d=in/c.png"
    assert task["predictions"][0]["result"][0]["value"]["choices"] == ["<b>"]
    assert "&lt;b&gt;" in label_studio_config(["<b>"])
    choice = {"type": "choices", "value": {"choices": ["down"]}}
    task["annotations"] = [{"result": [choice], "completed_by": {"email": "ann@site"}, "created_at": "2026-11-30"}]
    (tmp_path / "export.json").write_text(json.dumps([task, {"data": {}, "annotations": []}]))
    assert read_corrections(tmp_path / "export.json") == {
        "a" * 64: Correction("a" * 64, "down", "<b>", "ann@site", "2026-11-30", "c.png")
    }


@pytest.mark.parametrize("text", ["[", "{}", '{"corrections": [{"sha256": "short", "label": "x"}]}', "[1]"])
def test_what_does_not_read_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "c.json").write_text(text)
    with pytest.raises(DataError, match="cannot be read"):
        read_corrections(tmp_path / "c.json")


def test_labels_that_would_lead_out_of_the_folder_are_refused(folder: Path, tmp_path: Path) -> None:
    row = {"sha256": sha256_of(folder / "c.png"), "label": "../../etc"}
    (tmp_path / "c.json").write_text(json.dumps({"corrections": [row]}))
    other = tmp_path / "other"
    other.mkdir()
    words = ["corrections", "apply", str(tmp_path / "c.json"), "--to", str(other), "--from", str(folder)]
    assert CliRunner().invoke(app, words).exit_code == 1
    assert list(other.iterdir()) == []


def test_manifests_of_before_have_no_source(folder: Path) -> None:
    table = scan_folder(folder, listing_table(folder), ScanSettings())
    older = pa.schema([f for f in MANIFEST if f.name != "label_source"], metadata={"schema": "manifest/2"})
    found = decode_table(encode_table(table.drop_columns(["label_source"]).cast(older)), MANIFEST)
    assert found["label_source"].null_count == 3
    assert found["label"].to_pylist() == table["label"].to_pylist()
