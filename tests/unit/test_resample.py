from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.artifacts.tables import RESAMPLE_PLAN, SPLIT, decode_table, encode_table, table_of
from models.data.draws import PlanSampler
from models.data.resample import (
    ClassDraws,
    ResamplingSettings,
    average_draw_weight,
    class_factors,
    effective_prior,
    plan_resampling,
    plan_summary,
    read_draws,
    rows_per_epoch,
)
from models.data.split import SplitSettings
from models.errors import ContractBroken, DataError, SettingsError

METHODS = ("natural", "sqrt", "balanced", "progressive", "effective_number", "repeat_factor", "undersample")
Classes = str | list[str]

one_label = st.lists(st.sampled_from("aaabc"), min_size=1, max_size=20)
several_labels = st.lists(st.lists(st.sampled_from("aaabc"), max_size=3), min_size=1, max_size=20)
own_weights = st.lists(st.none() | st.floats(0.01, 100), min_size=20, max_size=20)
any_settings = st.builds(
    ResamplingSettings,
    method=st.sampled_from(METHODS),
    effective_beta=st.sampled_from([0.5, 0.9, 0.999, 1 - 1e-12]),
    repeat_threshold=st.sampled_from([0.001, 0.3, 1.0]),
    # Few enough classes that the smallest limit leaves room for every draw of repeat_factor.
    max_repeats=st.sampled_from([0, 5, 7]),
)


def _split(classes: Sequence[Classes], weights: Sequence[float | None] = (), splits: Sequence[str] = ()) -> pa.Table:
    """Table SPLIT of rows in train, unless `splits` says otherwise."""
    rows: list[dict[str, object]] = []
    for k, names in enumerate(classes):
        row = {"image_id": str(k), "path": f"{k}.png", "split": splits[k] if splits else "train"}
        rows.append({**row, "labels" if isinstance(names, list) else "label": names})
        rows[-1]["weight"] = weights[k] if weights else None
    metadata = {b"split_settings": SplitSettings().model_dump_json()}
    return table_of(rows, SPLIT.with_metadata(metadata))


def _plan(split: pa.Table, **chosen: object) -> pa.Table:
    return plan_resampling(split, ResamplingSettings.model_validate(chosen))


def _many_and_rare() -> pa.Table:
    classes = ["many"] * 90 + ["rare"] * 60
    return _split(classes, splits=["train"] * 100 + ["tune"] * 50)


def _shares(plan: pa.Table, column: str) -> list[float]:
    labels = np.asarray(plan["label"].to_pylist())
    return list(effective_prior(labels, plan[column].to_numpy(), ["many", "rare"]))


@pytest.mark.parametrize(
    ("chosen", "rare_share", "last_rare_share", "rows"),
    [
        # 10 of 100
        ({"method": "natural"}, 0.1, 0.1, 100),
        # Without a word the pictures are drawn as found: training decides what is done about imbalance.
        ({}, 0.1, 0.1, 100),
        # 10 * 10^-.5 against 90 * 90^-.5, that is sqrt(10) to sqrt(90) = 1 to 3
        ({"method": "sqrt"}, 0.25, 0.25, 100),
        ({"method": "balanced"}, 0.5, 0.5, 100),
        ({"method": "progressive"}, 0.1, 0.5, 100),
        # 1 - .5^10 = 1023/1024, 1 - .5^90 = 1 to 27 digits: 10 * 1024/1023 against 90
        ({"method": "effective_number", "effective_beta": 0.5}, 10240 / 102310, 10240 / 102310, 100),
        # 1 - beta^n is n (1 - beta) for beta near 1: balanced
        ({"method": "effective_number", "effective_beta": 1 - 1e-15}, 0.5, 0.5, 100),
        # rare: sqrt(.4 / .1) = 2; many: sqrt(.4 / .9) is less than 1, so 1: 20 to 90
        ({"method": "repeat_factor", "repeat_threshold": 0.4}, 20 / 110, 20 / 110, 110),
        # both classes are at or above the threshold
        ({"method": "repeat_factor", "repeat_threshold": 0.1}, 0.1, 0.1, 100),
        # twice the 10 of the rarest
        ({"method": "undersample"}, 0.5, 0.5, 20),
        # balanced would draw each rare picture 5 times
        ({"method": "balanced", "max_repeats": 2}, 0.2, 0.2, 100),
        ({"method": "balanced", "max_repeats": 5}, 0.5, 0.5, 100),
        ({"method": "progressive", "max_repeats": 3}, 0.1, 0.3, 100),
    ],
)
def test_share_of_draws_is_the_one_worked_out_by_hand(
    chosen: dict[str, object], rare_share: float, last_rare_share: float, rows: int
) -> None:
    plan = _plan(_many_and_rare(), **chosen)
    assert plan.num_rows == 100, "rows outside train are never drawn"
    assert rows_per_epoch(plan) == rows
    for column, share in (("draw_weight", rare_share), ("last_draw_weight", last_rare_share)):
        assert plan[column].to_numpy().mean() == pytest.approx(1)
        assert _shares(plan, column) == pytest.approx([1 - share, share])


@settings(deadline=None)
@given(classes=one_label | several_labels, weights=own_weights, chosen=any_settings, data=st.data())
def test_a_plan_holds_the_training_rows_in_their_order(
    classes: list[Classes], weights: list[float | None], chosen: ResamplingSettings, data: st.DataObject
) -> None:
    count = len(classes)
    splits = data.draw(st.lists(st.sampled_from(["train", "tune", "test", "left_out"]), min_size=count, max_size=count))
    split = _split(classes, weights[:count], ["train", *splits[1:]])
    plan = plan_resampling(split, chosen)
    train = [row for row in split.to_pylist() if row["split"] == "train"]
    kept = plan.select(["image_id", "label", "labels"]).to_pylist()
    assert kept == [{name: row[name] for name in ("image_id", "label", "labels")} for row in train]
    for column in ("draw_weight", "last_draw_weight"):
        values = plan[column].to_numpy()
        assert (values > 0).all()
        assert values.mean() == pytest.approx(1)
    assert chosen.method == "progressive" or plan["draw_weight"].equals(plan["last_draw_weight"])
    assert plan.equals(decode_table(encode_table(plan), RESAMPLE_PLAN))


@settings(deadline=None)
@given(classes=one_label | several_labels, weights=own_weights, chosen=any_settings, seed=st.integers(0, 3))
def test_no_picture_is_drawn_more_often_than_the_limit_and_none_twice_by_undersample(
    classes: list[Classes], weights: list[float | None], chosen: ResamplingSettings, seed: int
) -> None:
    plan = plan_resampling(_split(classes, weights[: len(classes)]), chosen)
    rows = rows_per_epoch(plan)
    most = 1 if chosen.method == "undersample" else chosen.max_repeats or rows
    sampler = PlanSampler(read_draws(plan), seed, 3)
    for epoch in range(3):
        sampler.set_epoch(epoch)
        counts = np.bincount(sampler.positions(), minlength=plan.num_rows)
        assert (counts.sum(), counts.max() <= most) == (rows, True)


@settings(deadline=None)
@given(classes=several_labels, method=st.sampled_from(["sqrt", "balanced", "effective_number", "repeat_factor"]))
def test_factor_of_a_row_is_the_largest_of_its_classes(classes: list[list[str]], method: str) -> None:
    chosen = ResamplingSettings.model_validate({"method": method})
    sets = [set(names) or {"(none)"} for names in classes]
    counts = {name: sum(name in row for row in sets) for name in set().union(*sets)}
    factor = class_factors(method, counts, len(sets), chosen)
    expected = np.array([max(factor[name] for name in row) for row in sets])
    weights = plan_resampling(_split(classes), chosen)["draw_weight"].to_numpy()
    assert weights == pytest.approx(expected / expected.mean())


@pytest.mark.parametrize(
    ("chosen", "factors", "rows"),
    [
        # a on 3 of 4 rows, b on 1, none on 1
        ({"method": "balanced"}, [1 / 3, 1, 1 / 3, 1], 4),
        ({"method": "sqrt"}, [3**-0.5, 1, 3**-0.5, 1], 4),
        # sqrt(1 / .75) = 1.155 and sqrt(1 / .25) = 2; 2 * 1.155 + 2 * 2 = 6.3
        ({"method": "repeat_factor", "repeat_threshold": 1}, [3**-0.5 * 2, 2, 3**-0.5 * 2, 2], 6),
        # three classes of at least one row; shares 1/8, 3/8, 1/8, 3/8 of 3 pass 1, so that limit takes over
        ({"method": "undersample"}, [0.5, 1, 0.5, 1], 3),
    ],
)
def test_rows_of_several_labels_and_of_none_by_hand(chosen: dict[str, object], factors: list[float], rows: int) -> None:
    plan = _plan(_split([["a"], ["a", "b"], ["a", "a"], []]), **chosen)
    expected = np.array(factors)
    assert plan["draw_weight"].to_numpy() == pytest.approx(expected / expected.mean())
    assert rows_per_epoch(plan) == rows
    crowded = _plan(_split([["a", "b", "c"]] * 2), method="undersample")
    assert rows_per_epoch(crowded) == 2, "no more rows than there are, however many classes each has"


def test_own_weight_multiplies_the_factor_and_null_is_one() -> None:
    plan = _plan(_split(["a", "a", "b"], [3, None, 1]), method="balanced")
    # 3/2, 1/2, 1: their mean is 1
    assert plan["draw_weight"].to_pylist() == pytest.approx([1.5, 0.5, 1])
    assert _plan(_split(["a", "a"], [1e308, 1e308]), method="natural")["draw_weight"].to_pylist() == [1, 1]


@pytest.mark.parametrize(
    ("method", "weights", "rows"),
    [
        # without the first row a and b have one row each
        ("natural", [0, 1.5, 1.5], 2),
        ("balanced", [0, 1.5, 1.5], 2),
        ("undersample", [0, 1.5, 1.5], 2),
        # f of both classes is 1/2: sqrt(1 / .5) each, 2 * 1.41 = 2.8
        ("repeat_factor", [0, 1.5, 1.5], 3),
    ],
)
def test_row_of_weight_zero_is_left_out_and_counts_nowhere(method: str, weights: list[float], rows: int) -> None:
    plan = _plan(_split(["a", "a", "b"], [0, None, 1]), method=method, repeat_threshold=1)
    assert plan["draw_weight"].to_pylist() == pytest.approx(weights)
    assert rows_per_epoch(plan) == rows


def test_class_whose_rows_all_have_weight_zero_is_none() -> None:
    plan = _plan(_split(["a", "b", "b"], [0, 1, 1]), method="undersample")
    assert (plan["draw_weight"].to_pylist(), rows_per_epoch(plan)) == ([0, 1.5, 1.5], 2)


@pytest.mark.parametrize("method", METHODS)
def test_one_row_is_drawn_once(method: str) -> None:
    plan = _plan(_split(["a"]), method=method)
    assert (plan["draw_weight"].to_pylist(), rows_per_epoch(plan)) == ([1], 1)
    assert list(PlanSampler(read_draws(plan), 0, 1)) == [0]


def test_summary_shows_rows_and_shares_before_and_after() -> None:
    split = _split(["many"] * 3 + ["rare"])
    assert plan_summary(_plan(split, method="progressive")) == [
        # shares 3/4 in the first epoch and 1/2 in the last
        pytest.approx(ClassDraws("many", 3, 0.75, 2.5, 0.625)),
        pytest.approx(ClassDraws("rare", 1, 0.25, 1.5, 0.375)),
    ]
    assert plan_summary(_plan(_split([["a", "b"], ["a"], []]), method="undersample")) == [
        # three classes, the rarest on one row: three draws, each row once
        pytest.approx(ClassDraws("(none)", 1, 1 / 3, 1, 1 / 3)),
        pytest.approx(ClassDraws("a", 2, 2 / 3, 2, 2 / 3)),
        pytest.approx(ClassDraws("b", 1, 1 / 3, 1, 1 / 3)),
    ]


def test_average_weight_is_half_way_between_first_and_last() -> None:
    plan = _plan(_split(["a", "a", "a", "b"]), method="progressive")
    # natural 1, 1, 1, 1; balanced 2/3, 2/3, 2/3, 2
    assert average_draw_weight(plan).tolist() == pytest.approx([5 / 6, 5 / 6, 5 / 6, 3 / 2])


def test_bad_weights_are_refused_with_the_first_paths_and_only_in_train() -> None:
    weights = [1, -1, np.nan, np.inf, -np.inf, -0.1, -2]
    assert _plan(_split(["a"] * 7, weights, ["train", *["test"] * 6])).num_rows == 1
    with pytest.raises(DataError) as caught:
        _plan(_split(["a"] * 7, weights))
    assert str(caught.value) == (
        "6 training row(s) with a weight below zero or not finite (1.png, 2.png, 3.png, 4.png, 5.png). "
        "Expected weights of 0 or more. Mend the column weight of the label table."
    )


@pytest.mark.parametrize(("splits", "rows"), [(["train", "train"], 2), (["tune", "test"], 0)])
def test_nothing_to_draw_is_refused(splits: list[str], rows: int) -> None:
    with pytest.raises(DataError) as caught:
        _plan(_split(["a", "b"], [0, 0], splits))
    assert str(caught.value) == (
        f"of {rows} training rows none has a weight above 0. Expected a row that can be drawn. "
        "Put pictures into train, or mend the column weight of the label table."
    )


def test_limit_that_leaves_no_room_for_the_draws_is_refused() -> None:
    chosen = {"method": "repeat_factor", "repeat_threshold": 0.4}
    with pytest.raises(SettingsError, match=r"100 pictures, each drawn 1 times at most, .* an epoch of 110 draws"):
        _plan(_many_and_rare(), **chosen, max_repeats=1)
    assert rows_per_epoch(_plan(_many_and_rare(), **chosen, max_repeats=2)) == 110


@pytest.mark.parametrize("text", [None, b"", b"many", b"-1"])
def test_plan_that_does_not_say_how_many_rows_an_epoch_has_is_refused(text: bytes | None) -> None:
    metadata = {} if text is None else {b"rows_per_epoch": text}
    plan = _plan(_split(["a"])).replace_schema_metadata(metadata)
    with pytest.raises(ContractBroken) as caught:
        rows_per_epoch(plan)
    assert str(caught.value) == (
        f"a resample plan says {(text or b'').decode()!r} of the rows an epoch draws. "
        "Expected their number in its metadata. Make the plan again."
    )


def test_training_refuses_classes_that_are_never_drawn() -> None:
    from models.learning.lesson import prepare_lesson
    from models.learning.training_settings import TrainingSettings

    split = _split(["a", "b", "c"], [1, 0, 0])
    with pytest.raises(DataError, match="no training picture of class b, c is ever drawn"):
        prepare_lesson(Path(), split, _plan(split), TrainingSettings())


def test_lesson_averages_progressive_weights_and_weighs_tune_as_train() -> None:
    from models.learning.lesson import prepare_lesson, with_tune
    from models.learning.training_settings import TrainingSettings

    split = _split(["a", "a", "b", "a", "b"], [1, 3, 1, 2, None], ["train"] * 3 + ["tune"] * 2)
    lesson = prepare_lesson(Path(), split, _plan(split, method="progressive"), TrainingSettings())
    # natural 1, 3, 1 with mean 1: .6, 1.8, .6; balanced 1/2, 3/2, 1: the same
    first, last = np.array([0.6, 1.8, 0.6]), np.array([0.5, 1.5, 1.0])
    assert lesson.draw_weight.tolist() == pytest.approx(((first + last) / 2).tolist())
    assert lesson.prior.tolist() == pytest.approx([4.4 / 6, 1.6 / 6])
    assert (lesson.draws.first.tolist(), lesson.draws.rows_per_epoch) == (pytest.approx(first.tolist()), 3)
    # a unit of weight is drawn .55 in class a and .8 in class b
    both = with_tune(lesson)
    assert both.draw_weight.tolist() == pytest.approx([*lesson.draw_weight, 1.1, 0.8])
    assert both.train.paths == lesson.train.paths + lesson.tune.paths
    assert both.draws.rows_per_epoch == 5
    assert both.draws.last.tolist() == pytest.approx([0.5, 1.5, 1.0, 1.0, 1.0])
    assert both.prior.tolist() == pytest.approx([3.3 / 4.9, 1.6 / 4.9])
