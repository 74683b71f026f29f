from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.artifacts.tables import MANIFEST, table_of
from models.data.split import LEFT_OUT, SPLITS, SplitSettings, assign_splits, split_of
from models.errors import DataError

groups = st.lists(st.text("0123456789abcdef", min_size=1, max_size=12), min_size=1, max_size=40)
Picture = tuple[str, str, str]  # image, group, label


def _manifest(pictures: list[Picture], **columns: Sequence[object]) -> pa.Table:
    rows = [
        {
            "path": f"{k}.png",
            "image_id": image,
            "group_id": group,
            "label": label,
            "status": "ok",
            **{name: values[k] for name, values in columns.items()},
        }
        for k, (image, group, label) in enumerate(pictures)
    ]
    return table_of(rows, MANIFEST)


def _splits(table: pa.Table) -> dict[str, str]:
    return dict(zip(table["image_id"].to_pylist(), table["split"].to_pylist(), strict=True))


def _pictures(counts: dict[str, int], prefix: str = "") -> list[Picture]:
    names = [(f"{prefix}{label}{k}", label) for label, count in counts.items() for k in range(count)]
    return [(name, name, label) for name, label in names]


@given(old=groups, new=groups, seed=st.integers(0, 5))
def test_group_goes_where_its_own_name_says(old: list[str], new: list[str], seed: int) -> None:
    settings = SplitSettings(seed=seed)
    before = {group: split_of(group, settings) for group in old}
    after = {group: split_of(group, settings) for group in [*new, *old]}
    assert before.items() <= after.items()


@settings(deadline=None, max_examples=40)
@given(
    first=st.lists(st.tuples(st.integers(0, 400), st.sampled_from("abc")), max_size=60),
    more=st.lists(st.tuples(st.integers(0, 400), st.sampled_from("abc")), max_size=60),
    links=st.dictionaries(st.integers(0, 400), st.integers(0, 400), max_size=30),
)
def test_growth_moves_no_picture_and_no_group_straddles(
    first: list[tuple[int, str]], more: list[tuple[int, str]], links: dict[int, int]
) -> None:
    """New pictures join old groups, bridge two of them, or stand alone: no old picture moves, ever."""
    base = _pictures({"a": 12, "b": 12, "c": 12})
    old = base + [(f"x{k}", f"x{k}", label) for k, label in dict(first).items()]
    before = assign_splits(_manifest(old), SplitSettings())
    known = [group for _, group, _ in old]
    joined = {known[a % len(known)]: known[b % len(known)] for a, b in links.items()}

    def merged(group: str) -> str:
        return joined.get(group, group)

    new = [(f"y{k}", merged(known[k % len(known)]) if k % 3 else f"y{k}", label) for k, label in dict(more).items()]
    grown = _manifest([(image, merged(group), label) for image, group, label in old] + new)
    after = _splits(assign_splits(grown, SplitSettings(), before))
    assert _splits(before).items() <= after.items()
    by_group: dict[str, set[str]] = {}
    for image, group, _ in new:
        if after[image] != LEFT_OUT:
            kin = {
                after[i]
                for i, g in zip(grown["image_id"].to_pylist(), grown["group_id"].to_pylist(), strict=True)
                if g == group
            }
            by_group.setdefault(group, set()).update(kin - {LEFT_OUT})
    assert all(len(splits) == 1 for splits in by_group.values()), "a new picture never straddles with its kin"


def test_bridge_between_two_splits_is_left_out() -> None:
    old = _pictures({"a": 40, "b": 40})
    before = assign_splits(_manifest(old), SplitSettings())
    found = _splits(before)
    train, test = (next(i for i, split in found.items() if split == wanted) for wanted in ("train", "test"))
    bridged = [(i, "both" if i in (train, test) else g, label) for i, g, label in old]
    after = _splits(assign_splits(_manifest([*bridged, ("new", "both", "a")]), SplitSettings(), before))
    assert (after[train], after[test], after["new"]) == ("train", "test", LEFT_OUT)


def test_earlier_division_under_other_settings_counts_as_none() -> None:
    rows = _manifest(_pictures({"a": 60, "b": 60}))
    before = assign_splits(rows, SplitSettings())
    other = assign_splits(rows, SplitSettings(seed=1), before)
    assert _splits(other) == _splits(assign_splits(rows, SplitSettings(seed=1)))


def test_shares_are_those_of_the_settings_in_every_class() -> None:
    pictures = _pictures({"a": 3000, "b": 1000})
    table = assign_splits(_manifest(pictures), SplitSettings(tune_share=0.1, test_share=0.3))
    counts = Counter(zip(table["label"].to_pylist(), table["split"].to_pylist(), strict=True))
    for label, rows in (("a", 3000), ("b", 1000)):
        assert counts[label, "test"] / rows == pytest.approx(0.3, abs=0.04)
        assert counts[label, "tune"] / rows == pytest.approx(0.1, abs=0.03)


@given(rows=st.integers(3, 30), seed=st.integers(0, 50))
def test_small_class_has_half_its_share_in_every_split(rows: int, seed: int) -> None:
    table = assign_splits(_manifest(_pictures({"rare": rows, "common": 200})), SplitSettings(seed=seed))
    counts = Counter(
        s for s, label in zip(table["split"].to_pylist(), table["label"].to_pylist(), strict=True) if label == "rare"
    )
    assert min(counts[split] for split in SPLITS) >= 1
    assert counts["test"] >= int(0.2 * rows / 2)
    assert counts["tune"] >= int(0.15 * rows / 2)
    assert counts["train"] >= int(0.65 * rows / 2)


def test_order_of_rows_decides_nothing() -> None:
    pictures = _pictures({"a": 30, "rare": 4})
    forwards = _splits(assign_splits(_manifest(pictures), SplitSettings()))
    assert forwards == _splits(assign_splits(_manifest(pictures[::-1]), SplitSettings()))


def test_users_division_is_kept_and_the_rest_follows_its_group() -> None:
    pictures = [(f"{k}", f"g{k // 2}", "ab"[k // 2 % 2]) for k in range(80)]
    given = ["test" if k < 20 and k % 2 == 0 else None for k in range(80)]
    table = assign_splits(_manifest(pictures, given_split=given), SplitSettings())
    found = _splits(table)
    assert {found[str(k)] for k in range(20)} == {"test"}, "the other half of each group comes along"


def test_unusable_rows_are_left_away() -> None:
    pictures = _pictures({"a": 20, "b": 20})
    rows = table_of(
        [
            *_manifest(pictures).to_pylist(),
            {"path": "x", "status": "unreadable", "label": "a"},
            {"path": "y", "status": "ok"},
        ],
        MANIFEST,
    )
    assert assign_splits(rows, SplitSettings()).num_rows == 40


@pytest.mark.parametrize("count", [1, 2])
def test_class_of_too_few_pictures_is_refused_by_name(count: int) -> None:
    with pytest.raises(DataError, match=r"no picture of class rare in .* takes three pictures"):
        assign_splits(_manifest(_pictures({"common": 200, "rare": count})), SplitSettings())


def test_copies_do_not_make_a_class_large_enough() -> None:
    copies = [(f"c{k}", "one", "rare") for k in range(10)]
    with pytest.raises(DataError, match="no picture of class rare in"):
        assign_splits(_manifest([*_pictures({"common": 50}), *copies]), SplitSettings())


def test_several_labels_a_picture_are_each_in_every_split() -> None:
    labels = [[["x"], ["x", "y"], []][k % 3] for k in range(90)]
    rows = [
        {"path": f"{k}", "image_id": f"{k}", "group_id": f"{k}", "status": "ok", "labels": v}
        for k, v in enumerate(labels)
    ]
    table = assign_splits(table_of(rows, MANIFEST), SplitSettings())
    present = {
        (label, split)
        for row, split in zip(table["labels"].to_pylist(), table["split"].to_pylist(), strict=True)
        for label in row
    }
    assert present == {(label, split) for label in "xy" for split in SPLITS}


def test_folds_cut_train_and_tune_and_never_a_group() -> None:
    pictures = [(f"{k}", f"g{k // 3}", "ab"[k // 3 % 2]) for k in range(600)]
    table = assign_splits(_manifest(pictures), SplitSettings(folds=5))
    folds: dict[str, set[int]] = {}
    for row in table.to_pylist():
        assert (row["fold"] is None) == (row["split"] == "test")
        folds.setdefault(row["group_id"], set()).add(row["fold"])
    assert all(len(found) == 1 for found in folds.values())
    counts = Counter(table["fold"].drop_null().to_pylist())
    assert set(counts) == set(range(5))
    assert assign_splits(_manifest(pictures), SplitSettings())["fold"].null_count == 600
