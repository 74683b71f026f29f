from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.artifacts.tables import MANIFEST, table_of
from models.data.split import SplitSettings, assign_splits, split_of
from models.errors import DataError

groups = st.lists(st.text("0123456789abcdef", min_size=1, max_size=12), min_size=1, max_size=40)


def _manifest(pairs: list[tuple[str, str | None]], status: str = "ok") -> object:
    rows = [
        {"path": f"{k}.png", "image_id": g, "group_id": g, "label": label, "status": status}
        for k, (g, label) in enumerate(pairs)
    ]
    return table_of(rows, MANIFEST)


@given(old=groups, new=groups, seed=st.integers(0, 5))
def test_adding_pictures_moves_none(old: list[str], new: list[str], seed: int) -> None:
    settings = SplitSettings(seed=seed)
    before = {group: split_of(group, settings) for group in old}
    after = {group: split_of(group, settings) for group in [*new, *old]}
    assert before.items() <= after.items()


def test_shares_are_those_of_the_settings() -> None:
    settings = SplitSettings(tune_share=0.1, test_share=0.3)
    found = [split_of(str(k), settings) for k in range(20_000)]
    assert found.count("test") / 20_000 == pytest.approx(0.3, abs=0.01)
    assert found.count("tune") / 20_000 == pytest.approx(0.1, abs=0.01)


def test_copies_of_a_picture_stay_together_and_only_usable_rows_are_kept() -> None:
    pairs = [(str(k // 2), "ab"[k // 2 % 2]) for k in range(400)]
    table = assign_splits(_manifest([*pairs, ("z", None)]), SplitSettings())
    assert table.num_rows == 400
    by_group: dict[str, set[str]] = {}
    for row in table.to_pylist():
        by_group.setdefault(row["group_id"], set()).add(row["split"])
    assert all(len(splits) == 1 for splits in by_group.values())


def test_class_without_a_test_picture_is_refused_by_name() -> None:
    pairs = [(str(k), "common") for k in range(200)]
    with pytest.raises(DataError, match="no picture of class rare in"):
        assign_splits(_manifest([*pairs, ("r", "rare")]), SplitSettings())
