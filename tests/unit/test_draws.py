from __future__ import annotations

import tracemalloc
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.data.draws import _PARTS, DrawWeights, PlanSampler, _in_parts, limit_draws
from models.errors import DataError, SettingsError, ShapeError

weights = st.lists(st.floats(0, 1e3).map(lambda w: w if w > 1e-3 else 0.0), min_size=1, max_size=20).filter(any)
EPSILON = 1e-6


def _draws(values: list[float], rows: int) -> DrawWeights:
    return DrawWeights(np.array(values), np.array(values), rows)


def _counts(draws: DrawWeights, seed: int = 0, epoch: int = 0, epochs: int = 10) -> np.ndarray:
    sampler = PlanSampler(draws, seed, epochs)
    sampler.set_epoch(epoch)
    return np.bincount(sampler.positions(), minlength=len(draws.first))


@settings(deadline=None)
@given(weights=weights, rows=st.integers(1, 60), seed=st.integers(0, 9), epoch=st.integers(0, 9))
def test_each_row_is_drawn_as_expected_rounded_down_or_up(
    weights: list[float], rows: int, seed: int, epoch: int
) -> None:
    counts = _counts(_draws(weights, rows), seed, epoch)
    expected = np.array(weights) / sum(weights) * rows
    assert counts.sum() == rows
    assert (counts >= np.floor(expected - EPSILON)).all()
    assert (counts <= np.ceil(expected + EPSILON)).all()


@settings(deadline=None)
@given(weights=weights, rows=st.integers(1, 60))
def test_parts_of_draws_add_up_exactly_and_rounding_passes_no_whole_draw(weights: list[float], rows: int) -> None:
    parts = _in_parts(np.array(weights), rows)
    expected = np.array(weights) / sum(weights) * rows
    assert parts.sum() == rows * _PARTS
    assert parts / _PARTS == pytest.approx(expected, abs=1e-7)
    assert (parts >= np.floor(expected + 1e-9) * _PARTS).all()
    assert (parts <= np.ceil(expected - 1e-9) * _PARTS).all()


def test_what_rounding_leaves_over_fills_one_row_after_another_up_to_a_whole_draw() -> None:
    # Ten times .4 round to nothing, so 4 parts are missing; ten times .6 round to 1, so 4 are too many.
    missing = _in_parts(np.array([_PARTS - 1, _PARTS - 3, *[0.4] * 10]), 2)
    assert missing.tolist() == [_PARTS, _PARTS, *[0] * 10]
    too_many = _in_parts(np.array([_PARTS + 1, _PARTS + 3, _PARTS - 10, *[0.6] * 10]), 3)
    assert too_many.tolist() == [_PARTS, _PARTS, _PARTS - 10, *[1] * 10]


@settings(deadline=None)
@given(rows=st.integers(1, 40), world_size=st.integers(1, 9), seed=st.integers(0, 9))
def test_ranks_part_an_epoch_and_repeat_its_first_draws_where_rows_are_left_over(
    rows: int, world_size: int, seed: int
) -> None:
    draws = _draws([1.0, 2.0, 0.5, 0.0, 4.0], rows)
    whole = list(PlanSampler(draws, seed, 3))
    ranks = [list(PlanSampler(draws, seed, 3, rank, world_size)) for rank in range(world_size)]
    lengths = {len(rank) for rank in ranks} | {len(PlanSampler(draws, seed, 3, 0, world_size))}
    assert lengths == {-(-rows // world_size)}
    together = [row for step in zip(*ranks, strict=True) for row in step]
    assert together[:rows] == whole
    padding = together[rows:]
    assert padding == (whole * world_size)[: len(padding)]
    assert len(padding) < world_size


def test_padding_goes_round_again_where_ranks_outnumber_the_draws() -> None:
    draws = _draws([1.0], 2)
    assert [list(PlanSampler(draws, 0, 1, rank, 7)) for rank in range(7)] == [[0]] * 7


def test_equal_seed_and_epoch_draw_alike_and_others_do_not() -> None:
    draws = _draws([1.0] * 50, 30)
    first, again, other = PlanSampler(draws, 1, 3), PlanSampler(draws, 1, 3), PlanSampler(draws, 2, 3)
    assert list(first) == list(first) == list(again)
    assert list(first) != list(other)
    again.set_epoch(1)
    assert Counter(first) != Counter(again)
    again.set_epoch(0)
    assert list(first) == list(again)


def test_positions_are_numbers_of_python_in_random_order() -> None:
    found = list(PlanSampler(_draws([1.0] * 100, 100), 0, 1))
    assert {type(row) for row in found} == {int}
    assert sorted(found) == list(range(100)) != found


def test_over_many_epochs_a_row_is_drawn_as_often_as_expected() -> None:
    draws = _draws([1.0, 2.0, 3.0, 0.5], 3)
    counts = sum(_counts(draws, epoch=epoch, epochs=3000) for epoch in range(3000))
    # The fraction of a draw has a standard deviation of at most 0.5 an epoch: four of them over 3000 are 0.037.
    assert counts / 3000 == pytest.approx(draws.first / 6.5 * 3, abs=0.037)


@pytest.mark.parametrize("rows", [1, 3, 7, 3000])
def test_a_whole_expectation_is_met_every_time(rows: int) -> None:
    # 0.1, 1/3 and their sums are not exact in float64; once is still once.
    draws = _draws([0.1 / 3] * rows, rows)
    assert all((_counts(draws, seed) == 1).all() for seed in range(20))
    twice = DrawWeights(draws.first, draws.last, 2 * rows)
    assert (_counts(twice) == 2).all()


def test_weights_go_in_a_straight_line_from_first_to_last() -> None:
    draws = DrawWeights(np.array([1.0, 0.0]), np.array([0.0, 1.0]), 8)
    assert [_counts(draws, epoch=epoch, epochs=5).tolist() for epoch in range(5)] == [
        [8, 0],
        [6, 2],
        [4, 4],
        [2, 6],
        [0, 8],
    ]
    assert _counts(draws, epochs=1).tolist() == [4, 4], "one epoch takes the middle, as the average weight does"


def test_weights_of_any_scale_are_taken() -> None:
    assert _counts(_draws([1e308, 1e308], 4)).tolist() == [2, 2]
    assert _counts(_draws([5e-324, 0.0], 4)).tolist() == [4, 0]


def test_more_rows_than_torch_can_draw_from_are_drawn_exactly_in_the_memory_of_a_few_arrays() -> None:
    count = 2**24 + 1000  # torch.multinomial ends at 2^24
    values = np.ones(count)
    values[:1000] = 3
    draws = DrawWeights(values, values, count + 2000)  # so that one weight is one draw
    tracemalloc.start()
    try:
        drawn = PlanSampler(draws, 0, 1).positions()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    counts = np.bincount(drawn, minlength=count)
    assert (counts[:1000] == 3).all()
    assert (counts[1000:] == 1).all()
    assert peak < 10 * 8 * count


@settings(deadline=None)
@given(weights=weights, rows=st.integers(1, 60), most=st.integers(1, 5))
def test_limited_draws_keep_the_limit_the_sum_and_the_proportions_below_it(
    weights: list[float], rows: int, most: int
) -> None:
    values = np.array(weights)
    if (values > 0).sum() * most < rows:
        with pytest.raises(SettingsError, match="do not fill an epoch"):
            limit_draws(values, rows, most)
        return
    expected = limit_draws(values, rows, most)
    assert expected.sum() == pytest.approx(rows)
    assert expected.max() <= most
    below = (expected < most * (1 - EPSILON)) & (values > 0)
    ratio = expected[below] / values[below]
    assert ratio == pytest.approx(ratio.max() if below.any() else 1)
    if below.any():
        assert (ratio.max() * values[~below] >= expected[~below] * (1 - EPSILON)).all(), "none is limited in vain"
    assert (_counts(DrawWeights(expected, expected, rows)) <= most).all()


def test_limited_draws_by_hand_pass_the_surplus_on_until_none_is_above() -> None:
    # 7 draws by 8:4:1:1 are 4, 2, .5, .5: the first stops at 3, and 4:1:1 share the other 4.
    assert limit_draws(np.array([8.0, 4.0, 1.0, 1.0]), 7, 3).tolist() == pytest.approx([3, 8 / 3, 2 / 3, 2 / 3])
    # Of 6 the first stops at 2; 4:1:1 would make the second 8/3, so it stops too, and 1:1 share 2.
    assert limit_draws(np.array([8.0, 4.0, 1.0, 1.0]), 6, 2).tolist() == pytest.approx([2, 2, 1, 1])
    assert limit_draws(np.array([5.0, 1.0, 0.0]), 2, 1).tolist() == [1, 1, 0]


def test_limit_that_leaves_no_room_says_which_one_would() -> None:
    with pytest.raises(SettingsError) as caught:
        limit_draws(np.array([1.0, 1.0, 0.0]), 5, 2)
    assert str(caught.value) == (
        "2 pictures, each drawn 2 times at most, do not fill an epoch of 5 draws. Expected room for every draw. "
        "Set resampling.max_repeats to 3 or more, or to 0."
    )


@pytest.mark.parametrize(
    ("numbers", "found"),
    [
        ({"rows": 0}, "rows_per_epoch 0 outside 1..4294967296"),
        ({"rows": 2**32 + 1}, "rows_per_epoch 4294967297 outside 1..4294967296"),
        ({"seed": -1}, "seed -1 below 0"),
        ({"epochs": 0}, "epochs 0 below 1"),
        ({"rank": 2, "world_size": 2}, "rank 2 outside 0..1"),
        ({"rank": -1}, "rank -1 outside 0..0"),
        ({"world_size": 0, "seed": -1}, "seed -1 below 0, world_size 0 below 1"),
    ],
)
def test_number_outside_its_bounds_is_refused_by_name(numbers: dict[str, int], found: str) -> None:
    given = {"rows": 1, "seed": 0, "epochs": 1, **numbers}
    with pytest.raises(SettingsError) as caught:
        PlanSampler(_draws([1.0], given.pop("rows")), **given)
    assert str(caught.value) == f"draws with {found}. Expected numbers inside their bounds. Correct the call."


@pytest.mark.parametrize("epoch", [-1, 3])
def test_epoch_that_training_does_not_have_is_refused(epoch: int) -> None:
    with pytest.raises(SettingsError, match=rf"epoch {epoch} outside 0\.\.2"):
        PlanSampler(_draws([1.0], 1), 0, 3).set_epoch(epoch)


@pytest.mark.parametrize(("first", "last"), [((2,), (3,)), ((), ()), ((1, 2), (1, 2))])
def test_weights_that_are_not_two_arrays_of_one_length_are_refused(
    first: tuple[int, ...], last: tuple[int, ...]
) -> None:
    with pytest.raises(ShapeError) as caught:
        PlanSampler(DrawWeights(np.ones(first), np.ones(last), 1), 0, 1)
    assert str(caught.value) == (
        f"weights have shapes {first} and {last}. Expected two arrays of shape (N,). Use one resample plan."
    )


@pytest.mark.parametrize("bad", [[], [0.0, 0.0], [1.0, -1.0], [1.0, np.nan], [1.0, np.inf]])
def test_weights_by_which_nothing_can_be_drawn_are_refused(bad: list[float]) -> None:
    good = np.ones(len(bad))
    with pytest.raises(DataError, match=f"last weights of {len(bad)} rows" if bad else "first weights of 0 rows"):
        PlanSampler(DrawWeights(good, np.array(bad), 1), 0, 1)
