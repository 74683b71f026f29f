from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn import metrics as oracle

from models.artifacts.records import Trial
from models.errors import ShapeError
from models.learning.correction import choose_trial, log_offset, without_offset, without_offset_of
from models.learning.metrics import (
    OBJECTIVES,
    calibration_error,
    confusion_counts,
    objective_error,
    objective_value,
    reliability_bins,
    resampled_confusions,
    resampled_objectives,
    score_predictions,
)
from models.learning.multi_label_metrics import (
    label_counts,
    mean_average_precision,
    multi_label_objective,
    paired_gain,
    score_multi_label,
)


@st.composite
def predictions(draw: st.DrawFn) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    classes, rows = draw(st.integers(2, 5)), draw(st.integers(5, 60))
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    true_index = np.concatenate([np.arange(classes), rng.integers(0, classes, rows)])
    return true_index, rng.dirichlet(np.ones(classes), len(true_index))


@settings(deadline=None, max_examples=60)
@given(predictions())
def test_numbers_equal_those_of_scikit_learn(case: tuple[NDArray[np.int64], NDArray[np.float64]]) -> None:
    true_index, probabilities = case
    classes = tuple(map(str, range(probabilities.shape[1])))
    predicted = probabilities.argmax(1)
    scores = score_predictions(true_index, probabilities, classes, seed=0)
    assert np.array_equal(scores.confusion, oracle.confusion_matrix(true_index, predicted, labels=range(len(classes))))
    macro = oracle.f1_score(true_index, predicted, average="macro", labels=range(len(classes)), zero_division=0)
    assert scores.macro_f1.value == pytest.approx(macro, abs=1e-9)
    assert scores.accuracy.value == pytest.approx(oracle.accuracy_score(true_index, predicted), abs=1e-9)
    balanced = oracle.balanced_accuracy_score(true_index, predicted)
    assert scores.balanced_accuracy.value == pytest.approx(balanced, abs=1e-9)
    assert scores.log_loss == pytest.approx(oracle.log_loss(true_index, probabilities), abs=1e-9)
    precision, recall, f1, support = oracle.precision_recall_fscore_support(
        true_index, predicted, labels=range(len(classes)), zero_division=0
    )
    assert [c.recall for c in scores.per_class] == pytest.approx(recall.tolist(), abs=1e-9)
    assert [c.precision or 0.0 for c in scores.per_class] == pytest.approx(precision.tolist(), abs=1e-9)
    assert [c.f1 for c in scores.per_class] == pytest.approx(f1.tolist(), abs=1e-9)
    assert [c.support for c in scores.per_class] == support.tolist()


def test_interval_surrounds_the_value_and_narrows_with_rows() -> None:
    small, large = np.array([[8, 2], [3, 7]]), np.array([[800, 200], [300, 700]])
    widths = []
    for confusion in (small, large):
        samples = objective_value(resampled_confusions(confusion, np.random.default_rng(0)), "balanced_accuracy")
        low, high = np.quantile(samples, [0.025, 0.975])
        assert low < 0.75 < high
        widths.append(high - low)
    # The standard error falls with the root of the rows: a hundredfold gives about a tenth.
    assert widths[1] / widths[0] == pytest.approx(0.1, abs=0.03)


def test_bootstrap_keeps_the_rows_of_each_class() -> None:
    confusion = np.array([[5, 1, 0], [0, 0, 0], [2, 2, 2]])
    samples = resampled_confusions(confusion, np.random.default_rng(0), rounds=50)
    assert (samples.sum(-1) == confusion.sum(-1)).all()


def test_calibration_error_worked_out_by_hand() -> None:
    # Four rows at 0.9 of which two are right, four at 0.6 of which three are: (4*.4 + 4*.15) / 8
    probabilities = np.array([[0.9, 0.1]] * 4 + [[0.6, 0.4]] * 4)
    true_index = np.array([0, 0, 1, 1, 0, 0, 0, 1])
    assert calibration_error(reliability_bins(true_index, probabilities)) == pytest.approx(0.275)


@pytest.mark.parametrize(("true", "predicted"), [([0, 1], [0]), ([0, 2], [0, 1]), ([0, -1], [0, 1])])
def test_pairs_that_do_not_fit_are_refused(true: list[int], predicted: list[int]) -> None:
    with pytest.raises(ShapeError, match=r"all in 0\.\.1"):
        confusion_counts(np.array(true), np.array(predicted), 2)


@given(st.integers(0, 1000), st.sampled_from([0.0, 0.5, 1.0]))
def test_offset_is_taken_back_exactly(seed: int, strength: float) -> None:
    rng = np.random.default_rng(seed)
    prior, logits = rng.dirichlet(np.ones(4)) + 0.01, rng.normal(size=(6, 4))
    offset = log_offset(prior / prior.sum(), strength)

    def softmax(values: NDArray[np.float64]) -> NDArray[np.float64]:
        powers = np.exp(values - values.max(1, keepdims=True))
        return np.asarray(powers / powers.sum(1, keepdims=True))

    assert without_offset(softmax(logits + offset), offset) == pytest.approx(softmax(logits))


def test_full_strength_makes_up_for_the_prior() -> None:
    # Both classes look alike; the prior alone decides, and full correction takes it back to a tie.
    assert np.log([0.9, 0.1]) + log_offset(np.array([0.9, 0.1]), 1.0) == pytest.approx([-1.203973, -1.203973])


def _trial(decay: float, strength: float, objective: float) -> Trial:
    return Trial(regularisation=decay, correction_strength=strength, objective=objective)


NO_SAMPLES = np.zeros((4, 0))


def test_strength_that_is_steadily_good_beats_one_lucky_trial() -> None:
    trials = [_trial(1, 0.0, 0.60), _trial(2, 0.0, 0.61), _trial(1, 0.5, 0.62), _trial(2, 0.5, 0.50)]
    assert choose_trial(trials, NO_SAMPLES, 0.5) == 1
    alike = [_trial(1, 0.0, 0.5), _trial(1, 0.5, 0.5)]
    assert [choose_trial(alike, NO_SAMPLES[:2], expected) for expected in (0.0, 0.5)] == [0, 1]


@pytest.mark.parametrize(("tune_rows", "chosen"), [(12, 1.0), (1200, 0.0)])
def test_theory_decides_only_where_tune_cannot_tell(tune_rows: int, chosen: float) -> None:
    # Strength 0 is right on 7 of 12 rows, strength 1 on 6, one of them where strength 0 is wrong.
    true = np.tile(np.arange(2), tune_rows // 2)
    rows = np.arange(tune_rows)
    is_right = np.array([rows % 12 < 7, (rows % 12 < 5) | (rows % 12 == 11)])
    predicted = np.where(is_right, true, 1 - true)
    trials = [
        _trial(1, strength, float((row == true).mean())) for strength, row in zip((0.0, 1.0), predicted, strict=True)
    ]
    samples = resampled_objectives(true, predicted, 2, "balanced_accuracy", np.random.default_rng(0))
    assert trials[choose_trial(trials, samples, 1.0)].correction_strength == chosen


def test_resampled_objectives_scatter_around_the_value_itself() -> None:
    true = np.repeat([0, 1], [90, 10])
    predicted = np.stack([true, np.zeros(100, dtype=np.int64)])
    perfect, blind = resampled_objectives(true, predicted, 2, "accuracy", np.random.default_rng(0))
    assert (perfect == 1).all()
    assert blind.mean() == pytest.approx(0.9, abs=0.01)
    assert blind.std() == pytest.approx(0.03, abs=0.006)


def test_error_of_an_objective_is_the_textbook_one_and_never_zero_for_few_pictures() -> None:
    many, few = np.diag([4500, 450]), np.diag([45, 1])
    many[0, 1], many[1, 0] = 500, 50
    rng = np.random.default_rng(0)
    expected = (0.09 / 5000 + 0.09 / 500) ** 0.5 / 2
    assert objective_error(many, "balanced_accuracy", rng) == pytest.approx(expected, rel=0.15)
    assert objective_error(few, "balanced_accuracy", rng) > 0.1


@st.composite
def label_predictions(draw: st.DrawFn) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    labels, rows = draw(st.integers(1, 5)), draw(st.integers(2, 60))
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    # Every label has a picture with it and one without: the oracle's balanced accuracy warns where a side is absent.
    one_of_each = np.repeat([[True], [False]], labels, axis=1)
    targets = np.concatenate([one_of_each, rng.random((rows, labels)) < 0.3])
    return targets, rng.beta(0.7, 0.9, targets.shape).round(2).clip(0.01, 0.99)


@settings(deadline=None, max_examples=30)
@given(label_predictions())
def test_numbers_of_several_labels_equal_those_of_scikit_learn(
    case: tuple[NDArray[np.bool_], NDArray[np.float64]],
) -> None:
    targets, probabilities = case
    labels = range(targets.shape[1])
    predicted = probabilities >= 0.5
    scores = score_multi_label(targets, probabilities, tuple(map(str, labels)), seed=0)
    macro = np.mean([oracle.f1_score(targets[:, k], predicted[:, k], zero_division=0) for k in labels])
    assert scores.macro_f1.value == pytest.approx(macro, abs=1e-9)
    assert scores.accuracy.value == pytest.approx(oracle.accuracy_score(targets, predicted), abs=1e-9)
    balanced = np.mean([oracle.balanced_accuracy_score(targets[:, k], predicted[:, k]) for k in labels])
    assert scores.balanced_accuracy.value == pytest.approx(balanced, abs=1e-9)
    loss = np.mean([oracle.log_loss(targets[:, k], probabilities[:, k]) for k in labels])
    assert scores.log_loss == pytest.approx(loss, abs=1e-9)
    ranking = np.mean([oracle.average_precision_score(targets[:, k], probabilities[:, k]) for k in labels])
    assert scores.mean_average_precision == pytest.approx(ranking, abs=1e-9)
    parts = [oracle.confusion_matrix(targets[:, k], predicted[:, k], labels=[False, True]) for k in labels]
    assert [
        [[c.true_negatives, c.false_positives], [c.false_negatives, c.true_positives]] for c in scores.label_counts
    ] == [part.tolist() for part in parts]
    assert [c.support for c in scores.per_class] == targets.sum(0).tolist()
    assert scores.confusion == ()
    for name in OBJECTIVES:
        interval = getattr(scores, name)
        assert 0 <= interval.low <= interval.high <= 1


def test_label_that_is_neither_present_nor_predicted_counts_zero_and_is_not_ranked() -> None:
    targets = np.array([[True, False], [False, False]])
    scores = score_multi_label(targets, np.array([[0.9, 0.2], [0.1, 0.3]]), ("a", "b"), seed=0)
    assert scores.macro_f1.value == 0.5
    assert [c.f1 for c in scores.per_class] == [1.0, None]
    assert scores.mean_average_precision == 1.0
    assert mean_average_precision(targets[1:], np.array([[0.1, 0.3]])) is None


def test_calibration_of_several_labels_is_of_all_decisions() -> None:
    # Eight decisions at 0.9 of which half apply, eight at 0.1 of which none does: (8*.4 + 8*.1) / 16
    targets = np.array([[True, False]] * 4 + [[False, False]] * 4)
    scores = score_multi_label(targets, np.full((8, 2), (0.9, 0.1)), ("a", "b"), seed=0)
    assert scores.calibration_error == pytest.approx(0.25)


def test_bootstrap_of_several_labels_resamples_pictures() -> None:
    rng = np.random.default_rng(1)
    targets = rng.random((400, 3)) < 0.4
    probabilities = np.where(rng.random(targets.shape) < 0.8, targets, ~targets) * 0.8 + 0.1
    found = score_multi_label(targets, probabilities, ("a", "b", "c"), seed=0)
    assert found == score_multi_label(targets, probabilities, ("a", "b", "c"), seed=0)
    rows = rng.integers(0, 400, (400, 400))
    for name in OBJECTIVES:
        values = [multi_label_objective(targets[r], probabilities[r] >= 0.5, name) for r in rows]
        low, high = np.quantile(values, [0.025, 0.975])
        interval = getattr(found, name)
        assert (interval.low, interval.high) == pytest.approx((low, high), abs=0.01)


def test_gain_of_a_model_on_itself_is_nothing_and_pairs_are_kept() -> None:
    rng = np.random.default_rng(2)
    targets = rng.random((200, 2)) < 0.3
    noisy = targets ^ (rng.random(targets.shape) < 0.1)
    same = paired_gain(targets, noisy, noisy, seed=0)
    assert (same.value, same.low, same.high) == (0, 0, 0)
    gain = paired_gain(targets, targets, noisy, seed=0)
    assert gain.value == pytest.approx(1 - multi_label_objective(targets, noisy, "balanced_accuracy"))
    assert 0 < gain.low < gain.value < gain.high


def test_labels_of_other_pictures_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"true labels of shape \(3, 2\) and predicted ones of shape \(2, 2\)"):
        label_counts(np.zeros((3, 2), dtype=np.bool_), np.zeros((2, 2), dtype=np.bool_))


@given(st.integers(0, 1000))
def test_offset_of_several_labels_is_taken_back_exactly(seed: int) -> None:
    rng = np.random.default_rng(seed)
    logits, offset = rng.normal(0, 3, (6, 4)), rng.uniform(-4, 4, 4)

    def sigmoid(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(1 / (1 + np.exp(-values)))

    found = without_offset_of("multi_label", sigmoid(logits + offset), offset)
    assert found == pytest.approx(sigmoid(logits), abs=1e-9)
    edge = without_offset_of("multi_label", np.array([[0.0, 1.0]]), np.array([4.0, -4.0]))
    assert edge.tolist() == [[0.0, 1.0]]
    softmax = rng.dirichlet(np.ones(4), 6)
    assert np.array_equal(without_offset_of("single_label", softmax, offset), without_offset(softmax, offset))
