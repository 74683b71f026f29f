from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from models.artifacts.records import Finding, Scorecard, Verdict
from models.errors import GateFailed
from models.learning.metrics import score_predictions
from models.learning.multi_label_metrics import score_multi_label
from validation.gates import Comparison, GateSettings, LabelComparison, judge_candidate, paired_difference
from validation.verdicts import describe_finding, require_accepted

TRUE = np.repeat([0, 1], 50)


def _scorecard(predicted: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Scorecard:
    probabilities = np.where(np.arange(2) == predicted[:, None], 0.9, 0.1)
    scores = score_predictions(TRUE, probabilities, ("a", "b"), seed=0)
    return Scorecard(
        model_name="m",
        split="test",
        classes=("a", "b"),
        served=scores,
        uncorrected=scores,
        slices=(),
        reliability=(),
        worst_mistakes=(),
    )


def _flip(count: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Predictions with `count` mistakes in each class."""
    predicted = TRUE.copy()
    predicted[:count], predicted[50 : 50 + count] = 1, 0
    return predicted


GOOD, WORSE, GUESS = _flip(5), _flip(15), _flip(25)


def _outcomes(verdict: Verdict) -> dict[str, str]:
    return {finding.rule: finding.outcome for finding in verdict.findings}


def test_cold_start_accepts_what_beats_guessing() -> None:
    verdict = judge_candidate(_scorecard(GOOD), False, None, GateSettings())
    assert verdict.is_accepted
    assert "not_worse_than_champion" not in _outcomes(verdict)


def test_guessing_is_refused_with_value_and_limit() -> None:
    verdict = judge_candidate(_scorecard(GUESS), False, None, GateSettings())
    with pytest.raises(GateFailed, match=r"better_than_guessing failed: balanced accuracy 0\.500, .* above 0\.500"):
        require_accepted(verdict)


@pytest.mark.parametrize(("limit", "outcome"), [(0.9, "passed"), (0.901, "failed")])
def test_absolute_limit_at_its_boundary(limit: float, outcome: str) -> None:
    verdict = judge_candidate(_scorecard(GOOD), False, None, GateSettings(min_macro_f1=limit))
    assert _outcomes(verdict)["macro_f1_reached"] == outcome


def test_candidate_worse_than_the_champion_is_refused_and_an_equal_one_is_not() -> None:
    worse = judge_candidate(_scorecard(WORSE), True, Comparison(TRUE, WORSE, GOOD), GateSettings())
    assert _outcomes(worse)["not_worse_than_champion"] == "failed"
    equal = judge_candidate(_scorecard(GOOD), True, Comparison(TRUE, GOOD, GOOD), GateSettings())
    assert equal.is_accepted


def test_champion_that_cannot_be_compared_blocks_as_unknown() -> None:
    verdict = judge_candidate(_scorecard(GOOD), True, None, GateSettings())
    assert _outcomes(verdict)["not_worse_than_champion"] == "unknown"
    assert not verdict.is_accepted


def test_class_of_two_test_pictures_cannot_be_judged() -> None:
    few = _scorecard(GOOD)
    classes = (few.served.per_class[0], few.served.per_class[1].model_copy(update={"support": 2}))
    scores = few.served.model_copy(update={"per_class": classes})
    verdict = judge_candidate(few.model_copy(update={"served": scores}), False, None, GateSettings())
    assert _outcomes(verdict)["better_than_guessing"] == "unknown"
    assert not verdict.is_accepted


def test_small_class_warns_and_does_not_block() -> None:
    verdict = judge_candidate(_scorecard(GOOD), False, None, GateSettings(min_class_rows=51))
    assert _outcomes(verdict)["classes_are_judged_on_enough"] == "failed"
    assert verdict.is_accepted


def test_paired_difference_is_the_gain_of_balanced_accuracy() -> None:
    gain = paired_difference(Comparison(TRUE, GOOD, WORSE))
    assert gain.value == pytest.approx(0.2)
    assert 0.1 < gain.low < 0.2 < gain.high < 0.3


def test_no_finding_at_all_is_no_acceptance() -> None:
    with pytest.raises(GateFailed, match="no rule was asked"):
        require_accepted(Verdict(subject="manifest", findings=()))


def test_finding_in_one_line() -> None:
    finding = Finding(
        rule="r", severity="critical", outcome="failed", observed="2", limit="at most 1", items=("a", "b", "c", "d")
    )
    assert describe_finding(finding) == "r failed: 2 (at most 1, first: a, b, c)"


# Three labels of 200 pictures: one that half of them have, one rare, one that nearly all have.
LABELS = np.arange(200)[:, None] % (2, 20, 20) < (1, 1, 19)


def _wrong(share: float) -> NDArray[np.bool_]:
    """Decisions of which a share is wrong, of both sides of each label alike."""
    return np.asarray(LABELS ^ (np.random.default_rng(0).random(LABELS.shape) < share))


SILENT = np.zeros_like(LABELS)
NEARLY = _wrong(0.1)


def _label_scorecard(given: NDArray[np.bool_], rows: slice = slice(None)) -> Scorecard:
    scores = score_multi_label(LABELS[rows], np.where(given[rows], 0.9, 0.1), ("half", "rare", "most"), seed=0)
    return _scorecard(GOOD).model_copy(
        update={"task": "multi_label", "classes": ("half", "rare", "most"), "served": scores}
    )


def test_several_labels_are_accepted_where_they_beat_a_coin() -> None:
    verdict = judge_candidate(_label_scorecard(NEARLY), False, None, GateSettings())
    assert verdict.is_accepted
    assert "lower bound above 0.500" in verdict.findings[0].limit


def test_labels_never_given_are_guessing_however_rare_they_are() -> None:
    verdict = judge_candidate(_label_scorecard(SILENT), False, None, GateSettings())
    assert _outcomes(verdict)["better_than_guessing"] == "failed"


@pytest.mark.parametrize(("rows", "outcome"), [(60, "passed"), (59, "unknown")])
def test_label_needs_three_pictures_with_it_and_three_without(rows: int, outcome: str) -> None:
    # The rare label is on every 20th picture from the first on, the common one lacks every 20th from the last on.
    verdict = judge_candidate(_label_scorecard(LABELS, slice(rows)), False, None, GateSettings())
    assert _outcomes(verdict)["better_than_guessing"] == outcome
    few = next(f for f in verdict.findings if f.rule == "classes_are_judged_on_enough")
    assert few.items == ("rare", "most")
    assert few.observed == f"fewest test pictures with or without a label: {3 if rows == 60 else 2}"


def test_labels_worse_than_the_champions_are_refused_and_equal_ones_are_not() -> None:
    worse = judge_candidate(
        _label_scorecard(NEARLY), True, LabelComparison(LABELS, _wrong(0.3), NEARLY), GateSettings()
    )
    assert _outcomes(worse)["not_worse_than_champion"] == "failed"
    equal = judge_candidate(_label_scorecard(NEARLY), True, LabelComparison(LABELS, NEARLY, NEARLY), GateSettings())
    assert equal.is_accepted


def test_rare_labels_that_are_never_given_any_more_are_a_loss() -> None:
    # 1 decision in 60 changes, which is less than the limit; of balanced accuracy it is a sixth.
    without_rare = LABELS & (True, False, True)
    gain = paired_difference(LabelComparison(LABELS, without_rare, LABELS))
    assert gain.value == pytest.approx(-1 / 6)
    assert gain.low <= gain.value <= gain.high < 0
