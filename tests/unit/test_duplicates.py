from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.data.duplicates import cluster_rows, near_links

hashes = st.lists(st.integers(0, 2**64 - 1), min_size=0, max_size=12)
flipped = st.lists(st.tuples(st.integers(0, 11), st.integers(0, 63)), max_size=12)


def _clusters_by_hand(values: list[int], distance: int) -> list[int]:
    found = list(range(len(values)))
    for _ in values:
        for i, left in enumerate(values):
            for j, right in enumerate(values):
                if (left ^ right).bit_count() <= distance:
                    found[i] = found[j] = min(found[i], found[j])
    return found


@settings(deadline=None)  # the first call imports scipy
@given(base=hashes, flips=flipped, far=st.integers(0, 6))
def test_clusters_are_those_of_comparing_every_pair(base: list[int], flips: list[tuple[int, int]], far: int) -> None:
    near = [base[k % len(base)] ^ (1 << bit) for k, bit in flips] if base else []
    values = [*base, *near]
    found = cluster_rows(
        np.arange(1, len(values) + 1, dtype=np.uint64), np.array(values, np.uint64), np.ones(len(values), bool), far
    )
    by_hand = _clusters_by_hand(values, far)
    same = [[a == b for a in found] for b in found]
    assert same == [[a == b for a in by_hand] for b in by_hand]


def test_many_equal_hashes_cost_a_chain_and_no_square() -> None:
    assert len(near_links(np.zeros(100_000, np.uint64), 4)) == 99_999


@pytest.mark.parametrize("distance", [-1, 0, 4])
def test_equal_bytes_are_joined_and_unread_files_never(distance: int) -> None:
    keys = np.array([5, 0, 5, 0, 7], np.uint64)
    found = cluster_rows(keys, np.zeros(5, np.uint64), np.zeros(5, bool), distance)
    assert found[0] == found[2]
    assert len(set(found.tolist())) == 4


def test_no_row_and_one_row() -> None:
    for count in (0, 1):
        empty = np.zeros(count, np.uint64)
        assert len(cluster_rows(empty, empty, np.ones(count, bool), 4)) == count
