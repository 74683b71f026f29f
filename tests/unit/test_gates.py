from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.gate_pairs import ELPV, draw_pair, rare_class_regressed
from models.artifacts.judging_records import RobustnessReport
from models.artifacts.records import Finding, Scorecard, SliceScore, Verdict
from models.errors import GateFailed
from models.learning.evaluation_rows import Slice
from models.learning.metrics import score_predictions
from models.learning.multi_label_metrics import score_multi_label
from validation.evidence import Evidence
from validation.gate_settings import GateSettings, GateSeverities
from validation.gates import judge_candidate
from validation.paired import Comparison, LabelComparison
from validation.verdicts import describe_finding, require_accepted

Positions = NDArray[np.int64]
TRUE = np.repeat([0, 1], 50)
NOT_WORSE = GateSettings(relation="not_worse")


def _scorecard(predicted: Positions, true: Positions = TRUE, classes: tuple[str, ...] = ("a", "b")) -> Scorecard:
    probabilities = np.where(np.arange(len(classes)) == predicted[:, None], 0.9, 0.1 / (len(classes) - 1))
    scores = score_predictions(true, probabilities, classes, seed=0)
    return Scorecard(
        model_name="m",
        split="test",
        classes=classes,
        served=scores,
        uncorrected=scores,
        slices=(),
        reliability=(),
        worst_mistakes=(),
    )


def _flip(count: int) -> Positions:
    """Predictions with `count` mistakes in each class."""
    predicted = TRUE.copy()
    predicted[:count], predicted[50 : 50 + count] = 1, 0
    return predicted


GOOD, WORSE, GUESS = _flip(5), _flip(15), _flip(25)


def _alone(scorecard: Scorecard, settings: GateSettings | None = None) -> Verdict:
    return judge_candidate(Evidence(scorecard), "cold_start", settings or GateSettings())


def _beside(
    candidate: Positions,
    champion: Positions,
    settings: GateSettings | None = None,
    groups: Sequence[str | None] = (),
    slices: tuple[Slice, ...] = (),
) -> Verdict:
    comparison = Comparison(TRUE, candidate, champion, 2, groups, slices)
    evidence = Evidence(_scorecard(candidate), comparison=comparison)
    return judge_candidate(evidence, "challenger", settings or GateSettings())


def _outcomes(verdict: Verdict) -> dict[str, str]:
    return {finding.rule: finding.outcome for finding in verdict.findings}


def _finding(verdict: Verdict, rule: str) -> Finding:
    return next(finding for finding in verdict.findings if finding.rule == rule)


def test_cold_start_accepts_what_beats_guessing_and_asks_nothing_about_a_champion() -> None:
    verdict = _alone(_scorecard(GOOD))
    assert verdict.is_accepted
    assert verdict.not_asked["better_than_champion"] == "there is no champion yet"
    assert not {rule for rule in _outcomes(verdict) if "champion" in rule or "lost" in rule}


def test_guessing_is_refused_with_value_and_limit() -> None:
    verdict = _alone(_scorecard(GUESS))
    with pytest.raises(GateFailed, match=r"better_than_guessing failed: balanced accuracy 0\.500, .* above 0\.500"):
        require_accepted(verdict)


def test_class_of_two_test_pictures_cannot_be_judged() -> None:
    few = _scorecard(GOOD)
    classes = (few.served.per_class[0], few.served.per_class[1].model_copy(update={"support": 2}))
    scores = few.served.model_copy(update={"per_class": classes})
    verdict = _alone(few.model_copy(update={"served": scores}))
    assert _outcomes(verdict)["better_than_guessing"] == "unknown"
    assert not verdict.is_accepted


def test_small_class_warns_and_does_not_block() -> None:
    verdict = _alone(_scorecard(GOOD), GateSettings(min_class_rows=51))
    assert _outcomes(verdict)["classes_are_judged_on_enough"] == "failed"
    assert verdict.is_accepted


SLICED = _scorecard(GOOD).model_copy(
    update={
        "slices": tuple(
            SliceScore(column="line", value=v, rows=r, accuracy=a, balanced_accuracy=a, macro_f1=a)
            for v, r, a in (("1", 50, 0.95), ("2", 50, 0.8), ("3", 9, 0.1))
        )
    }
)
ROBUST = RobustnessReport(
    model_name="m",
    rows=48,
    clean_balanced_accuracy=0.9,
    mean_balanced_accuracy=0.7,
    worst="fog",
    corruptions=(),
)
EVIDENCE = Evidence(SLICED, size_bytes=2_000_000, latency_ms=4.0, robustness=ROBUST)
# Of every limit: the rule, the last value that it keeps, and the first that it breaks.
LIMITS = [
    ("macro_f1_reached", "min_macro_f1", 0.9, 0.901),
    ("objective_reached", "min_objective", 0.9, 0.901),
    ("class_recall_reached", "min_class_recall", 0.9, 0.901),
    ("slice_accuracy_reached", "min_slice_accuracy", 0.8, 0.801),
    ("calibration_error_kept", "max_calibration_error", 0.01, 0.0),
    ("log_loss_kept", "max_log_loss", 0.33, 0.32),
    ("robustness_kept", "max_robustness_loss", 0.201, 0.199),
    ("latency_kept", "max_latency_ms", 4.0, 3.9),
    ("size_kept", "max_size_mb", 2.0, 1.9),
]


@pytest.mark.parametrize(("rule", "setting", "kept", "broken"), LIMITS)
def test_limit_on_the_candidate_alone_at_its_boundary(rule: str, setting: str, kept: float, broken: float) -> None:
    if rule == "calibration_error_kept":
        # GOOD is as right as it is sure; WORSE is not.
        evidence, kept, broken = EVIDENCE._replace(scorecard=_scorecard(WORSE)), 0.201, 0.199
    else:
        evidence = EVIDENCE
    passed = judge_candidate(evidence, "cold_start", GateSettings.model_validate({setting: kept}))
    failed = judge_candidate(evidence, "cold_start", GateSettings.model_validate({setting: broken}))
    assert (_outcomes(passed)[rule], _outcomes(failed)[rule]) == ("passed", "failed")
    finding = _finding(failed, rule)
    assert finding.do
    assert f"{broken:g}" in finding.limit
    assert failed.is_accepted == (finding.severity != "critical")


@pytest.mark.parametrize("setting", [setting for _, setting, *_ in LIMITS[1:]])
def test_limit_of_nothing_is_not_asked(setting: str) -> None:
    verdict = judge_candidate(EVIDENCE, "cold_start", GateSettings.model_validate({setting: 0}))
    assert f"gate.{setting} is 0" in verdict.not_asked.values()


@pytest.mark.parametrize(
    ("setting", "rule"),
    [
        ("max_robustness_loss", "robustness_kept"),
        ("max_latency_ms", "latency_kept"),
        ("max_size_mb", "size_kept"),
        ("min_slice_accuracy", "slice_accuracy_reached"),
    ],
)
def test_limit_on_what_was_not_measured_is_unknown_and_blocks(setting: str, rule: str) -> None:
    verdict = _alone(_scorecard(GOOD), GateSettings.model_validate({setting: 0.5}))
    assert _outcomes(verdict)[rule] == "unknown"
    assert not verdict.is_accepted


def test_class_without_test_pictures_has_no_recall_to_reach() -> None:
    verdict = _alone(_scorecard(GOOD, classes=("a", "b", "unseen")), GateSettings(min_class_recall=0.5))
    finding = _finding(verdict, "class_recall_reached")
    assert (finding.outcome, finding.items) == ("unknown", ("unseen",))


def test_severity_decides_what_blocks_and_off_is_not_asked() -> None:
    limit = {"min_macro_f1": 0.99}
    for severity, is_accepted in (("critical", False), ("warning", True), ("info", True), ("off", True)):
        severities = GateSeverities.model_validate({"macro_f1_reached": severity})
        verdict = _alone(_scorecard(GOOD), GateSettings(**limit, severity=severities))
        assert verdict.is_accepted == is_accepted
        assert ("macro_f1_reached" in verdict.not_asked) == (severity == "off")


def test_every_rule_but_the_first_has_a_severity() -> None:
    verdict = _beside(GOOD, WORSE)
    rules = {*_outcomes(verdict), *verdict.not_asked} - {"better_than_guessing"}
    assert rules == set(GateSeverities.model_fields)
    assert all(finding.do for finding in verdict.findings)


@pytest.mark.parametrize(
    ("candidate", "champion", "settings", "rule", "outcome"),
    [
        (GOOD, WORSE, GateSettings(), "better_than_champion", "passed"),
        (GOOD, GOOD, GateSettings(), "better_than_champion", "failed"),
        (GOOD, _flip(6), GateSettings(), "better_than_champion", "failed"),
        (GOOD, WORSE, GateSettings(min_gain_over_champion=0.2), "better_than_champion", "failed"),
        (GOOD, GOOD, NOT_WORSE, "not_worse_than_champion", "passed"),
        (WORSE, GOOD, NOT_WORSE, "not_worse_than_champion", "failed"),
    ],
)
def test_gain_over_the_champion(
    candidate: Positions, champion: Positions, settings: GateSettings, rule: str, outcome: str
) -> None:
    verdict = _beside(candidate, champion, settings)
    assert _outcomes(verdict)[rule] == outcome
    assert verdict.is_accepted == (outcome == "passed")


def test_champion_that_cannot_be_compared_blocks_as_unknown() -> None:
    verdict = judge_candidate(Evidence(_scorecard(GOOD)), "challenger", GateSettings())
    assert {f.rule for f in verdict.blocking} == {"better_than_champion", "class_recall_not_lost"}
    assert {f.outcome for f in verdict.blocking} == {"unknown"}


def test_champion_itself_is_not_compared() -> None:
    verdict = judge_candidate(Evidence(_scorecard(GOOD)), "same_bundle", GateSettings())
    assert verdict.is_accepted
    assert verdict.not_asked["class_recall_not_lost"] == "this very bundle is the champion"


def test_class_that_loses_is_refused_by_name_though_the_whole_gains() -> None:
    champion = _flip(10)
    candidate = TRUE.copy()
    candidate[50:68] = 0  # all of a are right now, of b 18 are wrong in the place of 10
    verdict = _beside(candidate, champion, NOT_WORSE)
    finding = _finding(verdict, "class_recall_not_lost")
    assert (finding.outcome, finding.items) == ("failed", ("b",))
    assert finding.observed == "b loses 0.160 recall on 50 pictures, 0.0039 by chance"
    assert not verdict.is_accepted


@pytest.mark.parametrize(
    ("lost", "settings"), [(2, NOT_WORSE), (18, GateSettings(relation="not_worse", max_class_loss=0.17))]
)
def test_class_may_lose_little_or_by_chance(lost: int, settings: GateSettings) -> None:
    candidate = TRUE.copy()
    candidate[50 : 50 + lost] = 0
    verdict = _beside(candidate, _flip(min(lost, 10)) if lost > 2 else TRUE, settings)
    assert _outcomes(verdict)["class_recall_not_lost"] == "passed"


def test_pictures_of_one_group_are_one_witness() -> None:
    candidate = TRUE.copy()
    candidate[50:60] = 0
    alone = _beside(candidate, TRUE, NOT_WORSE)
    together = _beside(candidate, TRUE, NOT_WORSE, groups=[f"g{k // 10}" for k in range(100)])
    assert _outcomes(alone)["class_recall_not_lost"] == "failed"
    assert _outcomes(together)["class_recall_not_lost"] == "passed"


def test_slice_that_loses_warns() -> None:
    slices = (Slice("line", "1", np.arange(100) % 2 == 0), Slice("line", "2", np.arange(100) % 2 == 1))
    candidate, champion = TRUE.copy(), TRUE.copy()
    candidate[::4] = 1 - TRUE[::4]
    champion[1::4] = 1 - TRUE[1::4]
    verdict = _beside(candidate, champion, NOT_WORSE, slices=slices)
    finding = _finding(verdict, "slice_accuracy_not_lost")
    assert (finding.severity, finding.outcome, finding.items) == ("warning", "failed", ("line=1",))
    assert "slice_accuracy_not_lost" in _beside(candidate, champion, NOT_WORSE).not_asked


def test_gain_too_good_to_be_true_warns() -> None:
    assert _outcomes(_beside(GOOD, WORSE))["gain_is_plausible"] == "passed"
    verdict = _beside(GOOD, _flip(16))
    assert _outcomes(verdict)["gain_is_plausible"] == "failed"
    assert verdict.is_accepted


@pytest.mark.parametrize(
    ("rows", "tune", "signs"),
    [
        (300, None, ("perfect on 300 pictures",)),
        (298, None, ()),
        (100, 0.85, ("0.850 on tune",)),
        (100, 0.95, ()),
    ],
)
def test_score_too_good_to_be_true_warns(rows: int, tune: float | None, signs: tuple[str, ...]) -> None:
    true = np.repeat([0, 1], rows // 2)
    verdict = judge_candidate(Evidence(_scorecard(true, true), tune_objective=tune), "cold_start", GateSettings())
    assert _finding(verdict, "score_is_plausible").items == signs
    assert verdict.is_accepted


def test_no_finding_at_all_is_no_acceptance() -> None:
    with pytest.raises(GateFailed, match="no rule was asked"):
        require_accepted(Verdict(subject="manifest", findings=()))


def test_finding_in_one_line() -> None:
    finding = Finding(
        rule="r", severity="critical", outcome="failed", observed="2", limit="at most 1", items=("a", "b", "c", "d")
    )
    assert describe_finding(finding) == "r failed: 2 (at most 1, first: a, b, c)"


def _verdict_on(champion_recall: Sequence[float], candidate_recall: Sequence[float], seed: int, aim: str) -> Verdict:
    pair = draw_pair(ELPV, 656, (champion_recall, candidate_recall), np.random.default_rng(seed))
    scorecard = _scorecard(pair.candidate, pair.true_index, ("a", "b", "c", "d"))
    return judge_candidate(Evidence(scorecard, aim, comparison=pair), "challenger", GateSettings())


def test_planted_regression_of_a_rare_class_is_refused_though_accuracy_rises() -> None:
    worse = rare_class_regressed(ELPV)
    verdicts = [_verdict_on(ELPV.recall, worse, seed, "accuracy") for seed in range(10)]
    gains = [float(_finding(v, "better_than_champion").observed.split()[1].rstrip(",")) for v in verdicts]
    assert np.mean(gains) > 0
    assert sum(_finding(v, "class_recall_not_lost").items == ("c",) for v in verdicts) >= 7
    assert not any(v.is_accepted for v in verdicts)


def test_lucky_gain_is_refused_and_a_real_one_is_not() -> None:
    same = [_verdict_on(ELPV.recall, ELPV.recall, seed, "macro_f1") for seed in range(10)]
    lucky = [v for v in same if " +" in _finding(v, "better_than_champion").observed]
    assert len(lucky) > 2
    # The bound is wrong about one equal pair in twenty.
    assert sum(v.is_accepted for v in lucky) <= 1
    raised = [recall + 0.1 for recall in ELPV.recall]
    assert all(_verdict_on(ELPV.recall, raised, seed, "macro_f1").is_accepted for seed in range(10))


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


def _label_verdict(candidate: NDArray[np.bool_], champion: NDArray[np.bool_], settings: GateSettings) -> Verdict:
    evidence = Evidence(_label_scorecard(candidate), comparison=LabelComparison(LABELS, candidate, champion))
    return judge_candidate(evidence, "challenger", settings)


def test_several_labels_are_accepted_where_they_beat_a_coin() -> None:
    verdict = _alone(_label_scorecard(NEARLY))
    assert verdict.is_accepted
    assert "lower bound above 0.500" in verdict.findings[0].limit


def test_labels_never_given_are_guessing_however_rare_they_are() -> None:
    assert _outcomes(_alone(_label_scorecard(SILENT)))["better_than_guessing"] == "failed"


@pytest.mark.parametrize(("rows", "outcome"), [(60, "passed"), (59, "unknown")])
def test_label_needs_three_pictures_with_it_and_three_without(rows: int, outcome: str) -> None:
    # The rare label is on every 20th picture from the first on, the common one lacks every 20th from the last on.
    verdict = _alone(_label_scorecard(LABELS, slice(rows)))
    assert _outcomes(verdict)["better_than_guessing"] == outcome
    few = _finding(verdict, "classes_are_judged_on_enough")
    assert few.items == ("rare", "most")
    assert few.observed == f"fewest test pictures with or without a label: {3 if rows == 60 else 2}"


def test_labels_worse_than_the_champions_are_refused_equal_ones_are_not_better_and_better_ones_pass() -> None:
    worse, equal = _label_verdict(_wrong(0.3), NEARLY, NOT_WORSE), _label_verdict(NEARLY, NEARLY, NOT_WORSE)
    assert (_outcomes(worse)["not_worse_than_champion"], equal.is_accepted) == ("failed", True)
    assert _outcomes(_label_verdict(NEARLY, NEARLY, GateSettings()))["better_than_champion"] == "failed"
    assert _label_verdict(NEARLY, _wrong(0.3), GateSettings()).is_accepted


def test_rare_label_that_is_never_given_any_more_is_a_lost_class() -> None:
    finding = _finding(
        _label_verdict(LABELS & (True, False, True), NEARLY, NOT_WORSE),
        "class_recall_not_lost",
    )
    assert (finding.outcome, finding.items) == ("failed", ("rare",))
