from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from models.data.labels import open_labels, read_label_table
from models.errors import DataError

Rows = list[dict[str, object]]
TABLE: Rows = [
    {"path": "a/1.png", "label": "007", "group": "g", "split": "val", "weight": 2.0, "site": "north"},
    {"path": "./b.png", "label": None, "group": None, "split": None, "weight": None, "site": None},
]


def _describe(folder: Path, *paths: str, layout: str = "auto", table: str = "") -> Rows:
    source = open_labels(folder, layout, table)  # type: ignore[arg-type]
    return list(source.describe(paths).to_pylist())


def _write(folder: Path, kind: str) -> None:
    if kind == "csv":
        (folder / "labels.csv").write_text(
            "path,label,group,split,weight,site\na/1.png,007,g,val,2,north\n./b.png,,,,,\n,,,,,\n"
        )
    elif kind == "parquet":
        pq.write_table(pa.Table.from_pylist(TABLE), folder / "labels.parquet")
    else:
        (folder / "labels.jsonl").write_text("".join(json.dumps(row) + "\n" for row in TABLE))


@pytest.mark.parametrize("kind", ["csv", "parquet", "jsonl"])
def test_table_says_label_group_split_weight_and_slices(tmp_path: Path, kind: str) -> None:
    _write(tmp_path, kind)
    first, second, unknown = _describe(tmp_path, "a/1.png", "b.png", "c.png")
    assert first == {
        "label": "007",
        "labels": None,
        "given_group": "g",
        "given_split": "tune",
        "weight": 2.0,
        "slices": [("site", "north")],
        "label_source": "table",
    }
    assert second["label"] is None
    assert second["slices"] in ([], None)
    assert unknown == dict.fromkeys(first)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_several_labels_a_picture(tmp_path: Path, kind: str) -> None:
    if kind == "csv":
        (tmp_path / "labels.csv").write_text("path,labels\na.png,dog| cat\nb.png,\n")
    else:
        table = pa.table({"path": ["a.png", "b.png"], "labels": pa.array([["cat", "dog"], None])})
        pq.write_table(table, tmp_path / "labels.parquet")
    rows = _describe(tmp_path, "a.png", "b.png")
    assert [row["labels"] for row in rows] == [["cat", "dog"], None]


def test_empty_list_of_labels_is_a_label(tmp_path: Path) -> None:
    (tmp_path / "labels.jsonl").write_text('{"path": "a.png", "labels": []}\n{"path": "b.png", "labels": ["x"]}\n')
    assert [row["labels"] for row in _describe(tmp_path, "a.png", "b.png")] == [[], ["x"]]


def test_folders_give_the_class_where_no_table_does(tmp_path: Path) -> None:
    (tmp_path / "slices.csv").write_text("path,camera\na/1.png,left\n")
    row, stray = _describe(tmp_path, "a/1.png", "2.png")
    assert (row["label"], row["slices"], stray["label"]) == ("a", [("camera", "left")], None)


@pytest.mark.parametrize(("names", "is_division"), [("train val", True), ("train test", True), ("train cats", False)])
def test_folders_named_as_a_division_are_one(tmp_path: Path, names: str, is_division: bool) -> None:
    for name in names.split():
        (tmp_path / name / "cat").mkdir(parents=True)
    (row,) = _describe(tmp_path, "train/cat/1.png")
    assert (row["label"], row["given_split"]) == (("cat", "train") if is_division else ("train", None))
    (told,) = _describe(tmp_path, "val/cat/1.png", layout="class_folders")
    assert told["label"] == "val"
    assert _describe(tmp_path, "val/cat/1.png", layout="flat")[0]["label"] is None


def test_table_may_lie_elsewhere_and_unseen_paths_are_told(tmp_path: Path) -> None:
    (tmp_path / "elsewhere.csv").write_text("path,label\nx.png,a\ny.png,b\n")
    folder = tmp_path / "f"
    folder.mkdir()
    source = open_labels(folder, "auto", str(tmp_path / "elsewhere.csv"))
    assert source.describe(["y.png"])["label"].to_pylist() == ["b"]
    assert source.unseen() == ["x.png"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,label\na,b\n", r"has columns file, label\. Expected a column `path`"),
        ("path,label\n../a.png,x\n/b.png,y\n", r"2 paths outside the folder \(\.\./a\.png, /b\.png\)"),
        ("path,label\na.png,x\na.png,y\n", r"1 paths named twice \(a\.png\)"),
        ("path,split\na.png,holdout\n", r"has 'holdout' in column split\. Expected one of train,"),
        ("path,weight\na.png,heavy\n", r"in column weight\. Expected values of type double"),
        ("path,weight\na.png,-1\n", r"1 weights below zero or not finite \(a\.png\)"),
        ("path,label,labels\na.png,x,y\n", r"1 rows with both label and labels \(a\.png\)"),
        ("path,label\na.png,x,y\n", r"cannot be read .* Expected a CSV table in UTF-8"),
    ],
)
def test_table_that_makes_no_sense_is_refused_in_one_sentence(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        read_label_table(tmp_path / "labels.csv")


def test_unreadable_tables_and_two_tables_are_refused(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_bytes("path,camera\na,caf\u00e9\n".encode("cp1252"))
    with pytest.raises(DataError, match=r"labels\.csv cannot be read"):
        open_labels(tmp_path, "auto")
    (tmp_path / "labels.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"holds labels\.csv and labels\.parquet\. Expected one table"):
        open_labels(tmp_path, "auto")
    with pytest.raises(DataError, match=r"nowhere\.csv cannot be read"):
        open_labels(tmp_path, "auto", str(tmp_path / "nowhere.csv"))


def test_quoted_lines_and_empty_tables_are_kept(tmp_path: Path) -> None:
    (tmp_path / "slices.csv").write_text('path,note\na.png,"one\ntwo"\n,\n')
    assert _describe(tmp_path, "a.png")[0]["slices"] == [("note", "one\ntwo")]
    (tmp_path / "labels.csv").write_text("path,label\n")
    assert _describe(tmp_path, "a.png")[0]["label"] is None
