"""The numbers of a scorecard are scikit-learn's to 1e-9, whatever the rows, and their intervals hold them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from models.artifacts.records import ModelCard
from models.artifacts.tables import EVALUATION, decode_table, encode_table, table_of
from models.errors import SettingsError
from models.judging.bootstrap import drawn_weights, units_of
from models.judging.judging_settings import JudgingSettings
from models.judging.measure_label_errors import suspected_label_errors
from models.judging.measure_values import Judged, equal_mass_bins, values_of
from models.judging.measures import details_of
from models.judging.slices import all_slices
from models.serving.bundle import Bundle

Rows = tuple[np.ndarray, np.ndarray]


@st.composite
def judged_rows(draw: st.DrawFn) -> Rows:
    """Class positions and probabilities with ties, absent classes, and classes that are never named."""
    count, rows = draw(st.integers(1, 5)), draw(st.integers(1, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    true_index = rng.integers(draw(st.integers(1, count)), size=rows)
    shares = rng.integers(draw(st.sampled_from([1, 2, 3, 1000])), size=(rows, count)) + 1.0
    return true_index, shares / shares.sum(1, keepdims=True)


def _values(rows: Rows, objective: str = "macro_f1") -> dict[str, np.ndarray]:
    judged = Judged(*rows, objective, None, None, {}, ())
    return values_of(judged, np.ones((len(rows[0]), 1)))


@settings(max_examples=150, deadline=None)
@given(judged_rows())
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning")  # they are null here
@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
@pytest.mark.filterwarnings("ignore:A single label was found")
@pytest.mark.filterwarnings("ignore:No positive class found")
def test_numbers_are_scikit_learns(rows: Rows) -> None:
    true, probabilities = rows
    labels, predicted, found = list(range(probabilities.shape[1])), probabilities.argmax(1), _values(rows)
    own = {name: value[..., 0] for name, value in found.items() if name != "slices"}
    assert own["accuracy"] == pytest.approx(metrics.accuracy_score(true, predicted), abs=1e-9)
    assert own["balanced_accuracy"] == pytest.approx(metrics.balanced_accuracy_score(true, predicted), abs=1e-9)
    for name, average in (("macro_f1", "macro"), ("weighted_f1", "weighted")):
        expected = metrics.f1_score(true, predicted, labels=labels, average=average, zero_division=0)
        assert own[name] == pytest.approx(expected, abs=1e-9)
    precision, recall, f1, _ = metrics.precision_recall_fscore_support(
        true, predicted, labels=labels, zero_division=np.nan
    )
    np.testing.assert_allclose(own["precision"], precision, atol=1e-9)
    np.testing.assert_allclose(own["recall"], recall, atol=1e-9)
    np.testing.assert_allclose(own["f1"], f1, atol=1e-9)
    if len(labels) > 1:
        assert own["log_loss"] == pytest.approx(metrics.log_loss(true, probabilities, labels=labels), abs=1e-9)
    squares = ((probabilities - np.eye(len(labels))[true]) ** 2).sum(1).mean()
    assert own["brier"] == pytest.approx(squares, abs=1e-9)
    for k in labels:
        is_class = true == k
        if is_class.any():
            expected = metrics.average_precision_score(is_class, probabilities[:, k])
            assert own["average_precision"][k] == pytest.approx(expected, abs=1e-9)
        if is_class.any() and not is_class.all():
            expected = metrics.roc_auc_score(is_class, probabilities[:, k])
            assert own["roc_auc"][k] == pytest.approx(expected, abs=1e-9)
        else:
            assert np.isnan(own["roc_auc"][k])


def test_a_picture_drawn_twice_counts_as_two() -> None:
    rng = np.random.default_rng(0)
    true, shares = rng.integers(3, size=30), rng.dirichlet(np.ones(3), 30)
    weights = rng.integers(0, 4, size=(30, 1)).astype(float)
    weighted = values_of(Judged(true, shares, "macro_f1", None, None, {}, ()), weights)
    copied = np.repeat(np.arange(30), weights[:, 0].astype(int))
    plain = _values((true[copied], shares[copied]))
    for name in ("macro_f1", "log_loss", "average_precision", "roc_auc", "brier", "calibration_error"):
        np.testing.assert_allclose(weighted[name], plain[name], atol=1e-12)


def test_bins_of_equal_mass_hold_about_as_many_each_and_equal_scores_share_one() -> None:
    bins = equal_mass_bins(np.random.default_rng(0).random(1500))
    assert np.bincount(bins).tolist() == pytest.approx([100] * 15, abs=1)
    assert len(set(equal_mass_bins(np.array([0.5] * 30 + [0.9])).tolist())) <= 2


def test_groups_are_drawn_whole_and_single_pictures_within_their_class() -> None:
    true = np.array([0] * 6 + [1] * 3)
    alone = units_of(true, [None] * 9)
    assert alone.resampled == "pictures"
    for weights in drawn_weights(alone, np.random.default_rng(0), 50):
        assert (weights[:6].sum(0) == 6).all()
        assert (weights[6:].sum(0) == 3).all()
    grouped = units_of(true, ["a", "a", "b", "b", None, None, None, "c", "c"])
    assert grouped.resampled == "groups"
    for weights in drawn_weights(grouped, np.random.default_rng(0), 50):
        assert (weights[0] == weights[1]).all()
        assert (weights[7] == weights[8]).all()


def _evaluation(rows: int, card: ModelCard, **columns: list[object]) -> pa.Table:
    rng = np.random.default_rng(1)
    shares = rng.dirichlet(np.ones(len(card.classes)), rows)
    found = [
        {
            "image_id": f"{k}",
            "path": f"line-{k % 2}/{k}.png",
            "label": card.classes[k % len(card.classes)],
            "group_id": f"g{k}",
            "slices": [],
            "brightness": k / rows,
            "probabilities": shares[k].tolist(),
            **{name: values[k] for name, values in columns.items()},
        }
        for k in range(rows)
    ]
    return table_of(found, EVALUATION)


def test_details_hold_intervals_shots_pairs_prior_and_cost(champion: Bundle) -> None:
    card, table = champion.card, _evaluation(90, champion.card)
    first, *rest = card.classes
    stated = JudgingSettings(
        deployment_prior={first: 0.9, **dict.fromkeys(rest, 0.1 / len(rest))}, cost_matrix={first: {rest[0]: 20}}
    )
    train_rows = dict(zip(card.classes, (500, 50, 5), strict=True))
    found = details_of(table, card, stated, train_rows, np.random.default_rng(0))
    for measure in (found.accuracy, found.macro_f1, found.log_loss, found.brier, found.per_class[0].roc_auc):
        assert measure.value is not None
        assert measure.low is not None
        assert measure.high is not None
        assert measure.low <= measure.value <= measure.high
        assert measure.low < measure.high
    assert [group.shot for group in found.shot_groups] == ["many", "medium", "few"]
    assert found.shot_groups[0].recall.value == found.per_class[0].recall.value
    assert sum(pair.rows for pair in found.confused) == 90 - round((found.accuracy.value or 0) * 90)
    named = next(pair for pair in found.confused if (pair.label, pair.predicted) == (first, rest[0]))
    other = next(pair for pair in found.confused if (pair.label, pair.predicted) == (first, rest[1]))
    cost = 0.9 * (20 * named.share + other.share) + sum(
        0.1 / len(rest) * (1 - (c.recall.value or 0)) for c in found.per_class[1:]
    )
    assert found.expected_cost is not None
    assert found.expected_cost.value == pytest.approx(cost)
    again = details_of(table, card, stated, train_rows, np.random.default_rng(0))
    assert again == found
    plain = details_of(table, card, JudgingSettings(), None, np.random.default_rng(0))
    assert (plain.deployment_objective, plain.expected_cost, plain.shot_groups) == (None, None, ())


@pytest.mark.parametrize(
    "stated",
    [
        {"deployment_prior": {"down": 0.5, "round": 0.5}},
        {"deployment_prior": {"down": 0.5, "round": 0.4, "side": 0.2}},
        {"cost_matrix": {"down": {"up": 3}}},
    ],
)
def test_settings_of_other_classes_are_refused(champion: Bundle, stated: dict[str, object]) -> None:
    table = _evaluation(30, champion.card)
    with pytest.raises(SettingsError, match=r"judging\."):
        details_of(table, champion.card, JudgingSettings.model_validate(stated), None, np.random.default_rng(0))


def test_slices_are_thirds_modes_and_sources_of_ten_pictures_or_more(champion: Bundle) -> None:
    modes: list[object] = [*["RGB"] * 51, *["L"] * 9]
    parts = all_slices(_evaluation(60, champion.card, mode=modes, width_px=[10] * 60, height_px=[10] * 60))
    found = {(part.column, int(part.inside.sum())) for part in parts}
    assert ("mode", 51) in found
    assert not any(column == "mode" and rows == 9 for column, rows in found)
    assert [int(p.inside.sum()) for p in parts if p.column == "brightness"] == [20, 20, 20]
    assert {p.value for p in parts if p.column == "source"} == {"line-0", "line-1"}
    assert not [p for p in parts if p.column == "size"], "all are of one size"


def test_table_of_the_version_before_reads_with_nulls() -> None:
    old = pa.schema(list(EVALUATION)[:9], metadata={"schema": "evaluation/2"})
    table = decode_table(encode_table(pa.Table.from_pylist([{"path": "p", "label": "a"}], schema=old)), EVALUATION)
    assert table.schema.names == EVALUATION.names
    assert table["ood_score"].to_pylist() == [None]


def test_label_is_doubted_where_another_class_is_as_sure_as_its_own_pictures_are(champion: Bundle) -> None:
    card, first, second = champion.card, *champion.card.classes[:2]
    rows = [{"path": f"{k}", "label": first, "probabilities": [0.9, 0.05, 0.05]} for k in range(5)]
    rows += [{"path": f"b{k}", "label": second, "probabilities": [0.05, 0.9, 0.05]} for k in range(5)]
    rows.append({"path": "wrong", "label": first, "probabilities": [0.02, 0.96, 0.02]})
    (found,) = suspected_label_errors(table_of(rows, EVALUATION), card)
    assert (found.path, found.label, found.predicted) == ("wrong", first, second)
