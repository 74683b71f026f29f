"""Other shapes of the predictions hold the newest row of every file, and no name or class can do harm in them."""

from __future__ import annotations

import csv
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import SettingsError
from models.serving.bundle import Bundle
from models.serving.commit import OutputStore
from models.serving.reader import prediction_paths, read_predictions
from models.serving.score import ScoreJob, ScoringSettings, score_folder
from models.serving.views.class_folders import safe_folder, sort_into_folders
from models.serving.views.csv_table import COLUMNS, cell, write_csv
from tests.conftest import NOW
from tests.pictures import write_inbox, write_raw_name

HOSTILE = (
    "=cmd|' calc'!A1",
    "+1.png",
    "-1.png",
    "@x",
    "\tx",
    "a\nb.png",
    "<img src=x>",
    "ü.png",
    "a|b\\c.png",
)


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    folder = write_inbox(tmp_path / "inbox", 5, damaged=True)
    for name in HOSTILE:
        shutil.copy(folder / "picture-0001.png", folder / name)
    (folder / "deep").mkdir()
    shutil.copy(folder / "picture-0002.png", folder / "deep" / "picture-0001.png")
    write_raw_name(folder, b"caf\xe9.png", (folder / "picture-0001.png").read_bytes())
    return folder


@pytest.fixture
def store(champion: Bundle, inbox: Path, tmp_path: Path) -> OutputStore:
    """Scored twice: one file changed in between."""
    job = ScoreJob(inbox, champion, tmp_path / "out", ScoringSettings(shard_rows=4))
    score_folder(job, "first", lambda: NOW)
    (inbox / "picture-0003.png").write_bytes((inbox / "picture-0000.png").read_bytes())
    score_folder(job, "second", lambda: NOW)
    return OutputStore(tmp_path / "out")


def test_reader_gives_the_newest_row_of_every_path(store: OutputStore, inbox: Path) -> None:
    newest, all_rows = read_predictions(store.out), read_predictions(store.out, newest=False)
    assert all_rows.num_rows == newest.num_rows + 1
    rows = {row["path"]: row for row in newest.to_pylist()}
    assert len(rows) == newest.num_rows
    assert rows["picture-0003.png"]["run_id"] == "second"
    assert rows["picture-0003.png"]["sha256"] == rows["picture-0000.png"]["sha256"]
    assert read_predictions(store.out, ["label"]).column_names == ["label"]
    assert prediction_paths(store.out) == store.paths()
    with pytest.raises(SettingsError, match="holds no predictions"):
        read_predictions(inbox)


def test_csv_has_every_row_and_no_formula(store: OutputStore, tmp_path: Path) -> None:
    target = tmp_path / "tables" / "predictions.csv"
    newest = read_predictions(store.out)
    assert write_csv(store, target) == newest.num_rows
    with target.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    assert sorted(row["path"].removeprefix("'") for row in rows) == sorted(newest["path"].to_pylist())
    assert not [row["path"] for row in rows if row["path"].startswith(("=", "+", "-", "@", "\t", "\r", "\n"))]
    scores = {row["path"]: row["score"] for row in newest.to_pylist()}
    for row in rows:
        score = scores[row["path"].removeprefix("'")]
        assert row["score"] == ("" if score is None else str(score))
    assert write_csv(store, target, newest=False) == newest.num_rows + 1


@given(st.one_of(st.text(), st.lists(st.text(), min_size=1), st.floats(allow_nan=False), st.integers(), st.booleans()))
def test_no_cell_of_text_begins_a_formula_and_numbers_stay_numbers(value: object) -> None:
    found = cell(value)
    if isinstance(value, str):
        assert found.removeprefix("'") == value or found == value
    if isinstance(value, str | list):
        assert not found.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
    elif isinstance(value, float):
        assert float(found) == value


@given(st.lists(st.text(), min_size=1, max_size=4))
def test_lists_can_be_taken_apart_again(items: list[str]) -> None:
    text = cell(items)
    joined = text[1:] if text.startswith("'") and not items[0].startswith("'") else text
    parts, escaped = [""], False
    for letter in joined:
        if escaped or letter not in "\\|":
            parts[-1], escaped = parts[-1] + letter, False
        elif letter == "|":
            parts.append("")
        else:
            escaped = True
    assert parts == items


@pytest.mark.parametrize("way", ["link", "hardlink", "copy"])
def test_pictures_lie_in_the_folder_of_their_class(store: OutputStore, inbox: Path, tmp_path: Path, way: str) -> None:
    target = tmp_path / "sorted"
    counts = sort_into_folders(store, inbox, target, way)  # type: ignore[arg-type]
    rows = [row for row in read_predictions(store.out).to_pylist() if row["status"] != "ignored"]
    assert sum(counts.values()) == len(rows)
    assert counts["_unreadable"] == 3
    found = {path.name: path for path in target.rglob("*") if not path.is_dir() and not path.name.startswith(".sort")}
    assert len(found) == len(rows), "no two pictures met"
    for row in rows:
        if row["path_bytes"] is None:
            path = found[row["path"].translate({ord("/"): "%2F", ord("\\"): "%5C"})]
            assert path.read_bytes() == (inbox / row["path"]).read_bytes()
            assert path.is_symlink() == (way == "link")
            assert path.parent.name in (row["label"], "_abstained", f"_{row['status']}")
    assert sort_into_folders(store, inbox, target, way) == counts  # type: ignore[arg-type]


def test_picture_that_changes_its_class_leaves_its_old_folder(
    store: OutputStore, champion: Bundle, inbox: Path, tmp_path: Path
) -> None:
    target = tmp_path / "sorted"
    sort_into_folders(store, inbox, target, "link")
    (inbox / "picture-0000.png").write_bytes((inbox / "damaged-truncated.png").read_bytes())
    score_folder(ScoreJob(inbox, champion, store.out, ScoringSettings()), "third", lambda: NOW)
    sort_into_folders(store, inbox, target, "link")
    places = [path.parent.name for path in target.rglob("picture-0000.png")]
    assert places == ["_unreadable"]


def test_folders_are_refused_where_they_would_be_found_or_do_harm(
    store: OutputStore, inbox: Path, tmp_path: Path
) -> None:
    with pytest.raises(SettingsError, match="lies inside the folder of pictures"):
        sort_into_folders(store, inbox, inbox / "sorted", "link")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("mine")
    with pytest.raises(SettingsError, match="holds other files"):
        sort_into_folders(store, inbox, tmp_path / "mine", "link")


@given(st.text(max_size=400))
def test_folder_of_a_class_is_one_name_below_the_target(label: str) -> None:
    name = safe_folder(label)
    assert "/" not in name
    assert "\0" not in name
    assert not name.startswith((".", "_"))
    assert 0 < len(os.fsencode(name.encode("utf-8", "surrogatepass").decode("utf-8", "replace"))) <= 260
