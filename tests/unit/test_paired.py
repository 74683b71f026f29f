from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import balanced_accuracy_score, f1_score

from validation.chance import chance_of_loss, rejected_by_holm
from validation.paired import Comparison, LabelComparison, paired_gain

RNG = np.random.default_rng(0)
TRUE = np.repeat([0, 1, 2], (60, 30, 10))


def _answers(share_right: float) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.where(RNG.random(100) < share_right, TRUE, RNG.integers(3, size=100))


BETTER, WORSE = _answers(0.9), _answers(0.5)


def test_gain_is_the_difference_of_the_objective_and_its_bound_lies_below() -> None:
    comparison = Comparison(TRUE, BETTER, WORSE, 3)
    expected = {
        "macro_f1": f1_score(TRUE, BETTER, average="macro") - f1_score(TRUE, WORSE, average="macro"),
        "balanced_accuracy": balanced_accuracy_score(TRUE, BETTER) - balanced_accuracy_score(TRUE, WORSE),
        "accuracy": (BETTER == TRUE).mean() - (WORSE == TRUE).mean(),
    }
    for name, value in expected.items():
        gain = paired_gain(comparison, name)
        assert gain.value == pytest.approx(value)
        assert 0 < gain.low < gain.value


def test_gain_of_labels_is_the_difference_of_the_objective() -> None:
    targets = np.arange(200)[:, None] % (2, 20) < (1, 1)
    without_rare = targets & (True, False)
    # 1 decision in 40 changes; of balanced accuracy it is a quarter, of F1 a half, of whole sets a twentieth.
    for name, value in (("balanced_accuracy", -0.25), ("macro_f1", -0.5), ("accuracy", -0.05)):
        gain = paired_gain(LabelComparison(targets, without_rare, targets), name)
        assert gain.value == pytest.approx(value)
        assert gain.low <= gain.value


def test_same_answers_gain_nothing_at_all() -> None:
    assert paired_gain(Comparison(TRUE, BETTER, BETTER, 3), "macro_f1") == (0, 0)


def test_bound_of_accuracy_is_that_of_the_paired_difference() -> None:
    true = np.zeros(400, dtype=np.int64)
    candidate = (np.arange(400) < 40).astype(np.int64)
    champion = (np.arange(400) % 4 == 0).astype(np.int64)
    difference = (champion != 0).astype(float) - (candidate != 0)
    gain = paired_gain(Comparison(true, candidate, champion, 2), "accuracy")
    assert gain.low == pytest.approx(gain.value - 1.645 * difference.std(ddof=1) / 20, abs=0.004)


def test_groups_make_the_bound_wider_and_their_order_does_not_matter() -> None:
    single = paired_gain(Comparison(TRUE, BETTER, WORSE, 3), "accuracy")
    # Twice the rows say no more where both copies belong together, and more where they do not.
    true, better, worse = (np.tile(part, 2) for part in (TRUE, BETTER, WORSE))
    groups = [f"g{k}" for k in range(100)] * 2
    together = paired_gain(Comparison(true, better, worse, 3, groups), "accuracy")
    apart = paired_gain(Comparison(true, better, worse, 3), "accuracy")
    assert together.low == pytest.approx(single.low, abs=0.01)
    assert apart.low > together.low + 0.01


def test_sum_of_samples_held_at_once_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    comparison = Comparison(TRUE, BETTER, WORSE, 3)
    whole = paired_gain(comparison, "macro_f1", rounds=4000)
    monkeypatch.setattr("validation.paired._HELD_NUMBERS", 1000)
    assert paired_gain(comparison, "macro_f1", rounds=4000).low == pytest.approx(whole.low, abs=0.01)


@pytest.mark.parametrize(("lost", "won"), [(0, 0), (3, 0), (9, 1), (1, 9), (40, 30)])
def test_chance_of_a_loss_is_mcnemars_exact_test(lost: int, won: int) -> None:
    rows = np.repeat([1, -1, 0], [lost, won, 20])
    expected = binomtest(lost, lost + won, alternative="greater").pvalue if lost + won else 1.0
    assert chance_of_loss(rows, np.arange(len(rows))) == pytest.approx(expected)


def test_chance_of_a_loss_of_groups_counts_every_way_to_swap_them() -> None:
    # Two groups that lose 2 and one that wins 1: of 8 ways to swap, one alone loses more, one as much: 3 and 5.
    assert chance_of_loss(np.array([1, 1, 1, 1, -1]), np.array([7, 7, 3, 3, 5])) == pytest.approx(2 / 8)


def test_holm_rejects_from_the_smallest_on() -> None:
    chances = np.array([0.04, 0.001, 0.02, 0.5])
    assert rejected_by_holm(chances, 0.06).tolist() == [False, True, True, False]
    assert rejected_by_holm(chances, 0.001).tolist() == [False] * 4
