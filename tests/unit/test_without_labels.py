"""What is told of a batch without labels, on scores whose truth is known: two bells a class apart."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from models.artifacts.tables import EVALUATION, PREDICTIONS, table_of
from models.drift.batches import probabilities_of
from models.drift.settings import DriftSettings
from models.drift.without_labels import estimated_mix, judge_without_labels
from models.errors import SettingsError
from models.serving.bundle import Bundle
from models.serving.class_prior import NO_PRIOR, PriorShift, fit_calibration, prior_shift, softmax, with_prior

Floats = NDArray[np.float64]
OLD, NEW = np.array([0.6, 0.3, 0.1]), np.array([0.2, 0.3, 0.5])
SETTINGS = DriftSettings()
ROWS = 8000


def _scores(mix: Floats, rows: int, seed: int, *, overconfident: float = 1.0) -> tuple[Floats, NDArray[np.int64]]:
    """(N, 3) scores for the old mix, right but for being too sure, and the true classes."""
    rng = np.random.default_rng(seed)
    true_index = rng.choice(3, rows, p=mix)
    seen = rng.normal(2.0 * np.eye(3)[true_index], 1.0)
    return softmax(overconfident * (2.0 * seen + np.log(OLD))), true_index


def _bundle(champion: Bundle, probabilities: Floats, true_index: NDArray[np.int64]) -> Bundle:
    rows = [
        {"label": champion.card.classes[k], "probabilities": p, "ood_score": 0.1 + 0.01 * float(p.max())}
        for p, k in zip(probabilities, true_index, strict=True)
    ]
    return champion._replace(baseline=table_of(rows, EVALUATION))


def _batch(bundle: Bundle, probabilities: Floats, further: float = 0.0) -> pa.Table:
    classes = bundle.card.classes
    rows = []
    for p in probabilities:
        order = np.argsort(-p)
        rows.append(
            {
                "status": "ok",
                "label": classes[order[0]],
                "score": p[order[0]],
                "top_labels": [classes[k] for k in order],
                "top_scores": p[order],
                "ood_score": 0.1 + 0.01 * float(p.max()) + further,
            }
        )
    return table_of(rows, PREDICTIONS)


@pytest.fixture(scope="module")
def bundle(champion: Bundle) -> Bundle:
    return _bundle(champion, *_scores(OLD, ROWS, 0, overconfident=2.0))


def test_calibration_takes_back_what_was_too_sure() -> None:
    probabilities, true_index = _scores(OLD, ROWS, 0, overconfident=2.0)
    honest, _ = _scores(OLD, ROWS, 0)
    found = fit_calibration(probabilities, true_index)
    assert found.scale == pytest.approx(0.5, abs=0.05)
    assert np.abs(found.apply(probabilities) - honest).mean() < 0.01
    assert found.prior.tolist() == pytest.approx(OLD.tolist(), abs=0.03)


def test_new_mix_and_accuracy_are_told_within_three_points(bundle: Bundle) -> None:
    probabilities, true_index = _scores(NEW, ROWS, 1, overconfident=2.0)
    accuracy, mix = judge_without_labels(_batch(bundle, probabilities), bundle, SETTINGS, NO_PRIOR)
    assert mix.status == "shifted"
    assert [share.share for share in mix.shares] == pytest.approx(NEW.tolist(), abs=0.03)
    assert all(share.low <= share.share <= share.high for share in mix.shares)
    assert accuracy.value == pytest.approx((probabilities.argmax(1) == true_index).mean(), abs=0.03)


def test_same_mix_is_not_called_shifted(bundle: Bundle) -> None:
    found = [
        judge_without_labels(
            _batch(bundle, _scores(OLD, 400, 10 + k, overconfident=2.0)[0]), bundle, SETTINGS, NO_PRIOR
        )
        for k in range(10)
    ]
    assert [mix.status for _, mix in found].count("shifted") <= 1


def test_pictures_that_changed_otherwise_make_it_unknown(bundle: Bundle) -> None:
    probabilities, _ = _scores(NEW, ROWS, 2, overconfident=2.0)
    accuracy, mix = judge_without_labels(_batch(bundle, probabilities, further=0.02), bundle, SETTINGS, NO_PRIOR)
    assert (accuracy.status, accuracy.value, mix.status) == ("unknown", None, "unknown")
    assert "ood_score" in accuracy.explanation


def test_too_few_pictures_are_not_enough(bundle: Bundle) -> None:
    probabilities, _ = _scores(OLD, 49, 3)
    accuracy, mix = judge_without_labels(_batch(bundle, probabilities), bundle, SETTINGS, NO_PRIOR)
    assert (accuracy.status, mix.status) == ("not_enough_data", "not_enough_data")


def test_scores_for_the_right_mix_are_right_more_often(bundle: Bundle) -> None:
    probabilities, true_index = _scores(NEW, ROWS, 4, overconfident=2.0)
    wished = [f"{label}={share}" for label, share in zip(bundle.card.classes, NEW, strict=True)]
    shift = prior_shift(bundle, wished)
    corrected = shift.apply(probabilities)
    assert corrected.sum(1) == pytest.approx(1)
    assert (corrected.argmax(1) == true_index).mean() > (probabilities.argmax(1) == true_index).mean() + 0.03
    # A batch that was scored so tells the same mix.
    _, mix = judge_without_labels(_batch(bundle, corrected), bundle, SETTINGS, shift)
    assert [share.share for share in mix.shares] == pytest.approx(NEW.tolist(), abs=0.03)


@pytest.mark.parametrize(
    "wished",
    [["down=1"], ["down=0.5", "round=0.5", "side=0.5"], ["down=0.5", "round=0.5", "side=0"], ["down", "round", "side"]],
)
def test_prior_that_is_none_is_refused(bundle: Bundle, wished: list[str]) -> None:
    with pytest.raises(SettingsError, match="class prior"):
        prior_shift(bundle, wished)


def test_no_prior_changes_nothing_at_all() -> None:
    probabilities, _ = _scores(OLD, 5, 5)
    assert PriorShift().apply(probabilities) is probabilities
    assert np.array_equal(with_prior(probabilities, OLD, OLD), probabilities / probabilities.sum(1, keepdims=True))


def test_mix_of_classes_that_are_certain_is_their_share() -> None:
    certain = np.repeat(np.eye(3), [70, 20, 10], axis=0)
    assert estimated_mix(certain, OLD) == pytest.approx([0.7, 0.2, 0.1], abs=0.01)


def test_rest_of_the_best_scores_is_shared_out(bundle: Bundle) -> None:
    row = {"status": "ok", "top_labels": ["side"], "top_scores": [0.8]}
    assert probabilities_of(table_of([row], PREDICTIONS), bundle.card.classes).tolist() == [
        pytest.approx([0.1, 0.1, 0.8])
    ]
