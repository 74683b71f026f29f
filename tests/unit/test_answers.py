"""Sets of classes, limits of risk and foreign pictures: what is promised holds on rows that were never seen."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from models.artifacts.judging_records import AnswerRules, ClassThreshold
from models.judging.abstention import (
    area_under_risk_coverage,
    limit_for_coverage,
    limit_for_risk,
    risk_bound,
    risk_coverage_curve,
)
from models.judging.answer_detail import Judged, answer_detail
from models.judging.conformal import class_thresholds, least_rows, prediction_sets
from models.judging.foreign import bank_positions, fit_scale

Drawn = tuple[np.ndarray, np.ndarray]


def _drawn(rng: np.random.Generator, counts: tuple[int, ...]) -> Drawn:
    """Classes, and probabilities that tell them more or less."""
    index = np.repeat(np.arange(len(counts)), counts)
    logits = rng.normal(size=(len(index), len(counts))) + 1.5 * np.eye(len(counts))[index]
    shares = np.exp(logits)
    return index, shares / shares.sum(1, keepdims=True)


@pytest.mark.parametrize(("coverage", "rows"), [(0.9, 9), (0.95, 19), (0.99, 99), (0.5, 1)])
def test_least_rows_are_those_whose_smallest_score_is_a_threshold(coverage: float, rows: int) -> None:
    assert least_rows(coverage) == rows
    scores = np.linspace(0.2, 0.8, rows)
    probabilities = np.stack([scores, 1 - scores], axis=1)
    found, _ = class_thresholds(np.zeros(rows, dtype=np.int64), probabilities, ("a", "b"), coverage)
    assert found.threshold == pytest.approx(scores[0], abs=2e-6)
    assert (found.basis, found.rows) == ("own", rows)


@pytest.mark.parametrize("coverage", [0.8, 0.9])
def test_sets_hold_the_true_class_as_often_as_was_asked_in_every_class(coverage: float) -> None:
    rng, held = np.random.default_rng(0), []
    for _ in range(200):
        thresholds = class_thresholds(*_drawn(rng, (120, 40, 20)), ("a", "b", "c"), coverage)
        index, probabilities = _drawn(rng, (50, 50, 50))
        inside = prediction_sets(probabilities, thresholds)[np.arange(len(index)), index]
        held.append([inside[index == k].mean() for k in range(3)])
    mean = np.mean(held, axis=0)
    # Behind n rows the promise is between coverage and coverage + 1 / (n + 1).
    assert (mean >= coverage - 0.01).all()
    assert (mean <= coverage + 1 / np.array([121, 41, 21]) + 0.02).all()


def test_rare_classes_are_judged_together_and_too_few_together_are_in_every_set() -> None:
    index, probabilities = _drawn(np.random.default_rng(1), (30, 5, 4))
    found = class_thresholds(index, probabilities, ("a", "b", "c"), 0.9)
    assert [(t.basis, t.rows) for t in found] == [("own", 30), ("pooled", 9), ("pooled", 9)]
    assert found[1].threshold == found[2].threshold
    index, probabilities = _drawn(np.random.default_rng(1), (30, 5, 3))
    found = class_thresholds(index, probabilities, ("a", "b", "c"), 0.9)
    assert [(t.basis, t.threshold) for t in found[1:]] == [("not_enough", 0.0)] * 2
    assert prediction_sets(probabilities, found)[:, 1:].all()


@given(answered=st.integers(1, 300), share=st.floats(0, 1))
def test_bound_of_risk_is_that_of_clopper_and_pearson(answered: int, share: float) -> None:
    wrong = int(share * answered)
    expected = stats.binomtest(wrong, answered).proportion_ci(0.90, method="exact").high
    assert risk_bound(wrong, answered) == pytest.approx(expected)


def test_stated_risk_is_kept_on_new_rows_but_for_a_few_draws() -> None:
    rng, broken, coverages = np.random.default_rng(2), 0, []
    for _ in range(200):
        score = rng.random(400)
        found = limit_for_risk(score, rng.random(400) < score**2, 0.1)
        # The risk of all below a limit t is the mean of s^2 over 0..t.
        broken += found.limit > 0 and found.limit**2 / 3 > 0.1
        coverages.append(found.coverage)
    assert broken <= 200 * 0.05
    assert np.median(coverages) > 0.35


def test_risk_that_cannot_be_shown_means_no_answer() -> None:
    found = limit_for_risk(np.linspace(0, 1, 20), np.zeros(20, dtype=bool), 0.01)
    assert (found.limit, found.coverage, found.risk_bound) == (-1.0, 0.0, None)


def test_stated_coverage_is_reached_and_equal_scores_are_answered_together() -> None:
    score = np.array([0.1, 0.2, 0.2, 0.2, 0.9])
    found = limit_for_coverage(score, np.array([False, False, True, False, True]), 0.4)
    assert (found.limit, found.coverage) == (0.2, 0.8)
    assert found.risk_bound == pytest.approx(risk_bound(1, 4))


def test_curve_ends_with_the_risk_of_all_and_a_better_order_has_less_area() -> None:
    wrong = np.array([False] * 6 + [True] * 2)
    good = np.arange(8) / 8
    assert risk_coverage_curve(good, wrong)[-1].model_dump() == {"coverage": 1.0, "risk": 0.25}
    assert risk_coverage_curve(good, wrong)[0].risk == 0.0
    best, worst = area_under_risk_coverage(good, wrong), area_under_risk_coverage(-good, wrong)
    constant = area_under_risk_coverage(np.zeros(8), wrong)
    assert best is not None
    assert worst is not None
    assert best == pytest.approx((1 / 7 + 2 / 8) / 8)
    assert constant == pytest.approx(0.25)
    assert best < 0.25 < worst
    assert area_under_risk_coverage(np.empty(0), np.empty(0, dtype=bool)) is None


def test_as_many_known_pictures_are_called_foreign_as_was_asked() -> None:
    rng = np.random.default_rng(3)
    distance, energy = rng.gamma(2, size=2000), rng.normal(size=2000) * 7 - 3
    scale = fit_scale(distance, energy, 0.05)
    worse = np.maximum((distance - scale.centre[0]) / scale.spread[0], (energy - scale.centre[1]) / scale.spread[1])
    assert (worse > 1).mean() == pytest.approx(0.05, abs=0.002)


def test_bank_holds_rare_classes_first() -> None:
    index = np.array([0] * 50 + [1] * 3 + [2] * 10)
    kept = bank_positions(index, 15, np.random.default_rng(0))
    assert np.bincount(index[kept]).tolist() == [6, 3, 6]
    assert len(bank_positions(index, 500, np.random.default_rng(0))) == 63


def test_what_the_rules_did_is_counted_class_by_class() -> None:
    probabilities = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.7, 0.3]])
    thresholds = tuple(
        ClassThreshold(label=label, threshold=least, rows=20, basis="own") for label, least in (("a", 0.5), ("b", 0.35))
    )
    rules = AnswerRules(target_coverage=0.9, thresholds=thresholds, max_abstention=0.31, calibration_rows=40)
    judged = Judged(np.array([0, 0, 1, 1]), probabilities, np.array([0.2, 1.5, np.nan, 0.9]))
    found = answer_detail(judged, rules)
    assert [(c.coverage.value, c.mean_set_size, c.rows) for c in found.per_class] == [(1.0, 1.5, 2), (0.5, 1.0, 2)]
    assert (found.answered.value, found.risk.rows) == (0.75, 3)
    assert found.risk.value == pytest.approx(1 / 3)
    assert [share.value for share in found.answered_by_class] == [0.5, 1.0]
    assert found.ood_false_alarm_rate.value == pytest.approx(1 / 3)
    assert found.ood_false_alarm_rate.rows == 3
    nobody = answer_detail(judged, rules.model_copy(update={"max_abstention": -1.0}))
    assert (nobody.answered.value, nobody.risk.value) == (0.0, None)
