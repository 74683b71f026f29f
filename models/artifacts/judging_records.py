"""Sealed records of how a model was judged: measures with intervals, slices, answer rules, robustness, shadows."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

Shot = Literal["many", "medium", "few"]
Resampled = Literal["pictures", "groups"]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


class Measure(_Record):
    """A measured value with its 95 % bootstrap interval.

    Attributes:
        value: null where it is not defined, as a ranking of a class without pictures.
        low: null where the value is, and where no sample had a value.
        rows: pictures that it was measured on.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    rows: int


class ClassDetail(_Record):
    """All numbers of one class, in 0..1.

    Attributes:
        train_rows: pictures that it was learned from; null where that is not known.
        shot: many above 100 train pictures, few below 20, medium between; null as above.
        is_enough: whether 30 test pictures or more say it.
    """

    label: str
    support: int
    train_rows: int | None = None
    shot: Shot | None = None
    is_enough: bool
    precision: Measure
    recall: Measure
    f1: Measure
    average_precision: Measure
    roc_auc: Measure


class ShotGroup(_Record):
    """Mean recall of the classes with many, medium or few train pictures."""

    shot: Shot
    classes: tuple[str, ...]
    recall: Measure


class ConfusedPair(_Record):
    """How often pictures of one class were named another; `share` is of the pictures of `label`."""

    label: str
    predicted: str
    rows: int
    share: float


class SliceDetail(_Record):
    """Numbers of the test pictures of one slice.

    Attributes:
        column: size, brightness, contrast, blur, mode, source, group, or one of the user's.
        value: its value, or a range of it as text.
    """

    column: str
    value: str
    rows: int
    accuracy: Measure
    balanced_accuracy: Measure
    macro_f1: Measure


class Details(_Record):
    """What a scorecard says beside its headline numbers, of pictures with one label.

    Attributes:
        resampled: what the bootstrap drew; groups where pictures share some.
        deployment_objective: balanced under the prior that is stated for deployment; null where none was stated.
        expected_cost: mean cost a picture by the cost matrix, under that prior; null where none was stated.
    """

    objective_name: str
    resampled: Resampled
    accuracy: Measure
    balanced_accuracy: Measure
    macro_f1: Measure
    weighted_f1: Measure
    log_loss: Measure
    brier: Measure
    calibration_error: Measure
    adaptive_calibration_error: Measure
    per_class: tuple[ClassDetail, ...]
    shot_groups: tuple[ShotGroup, ...]
    confused: tuple[ConfusedPair, ...]
    slices: tuple[SliceDetail, ...]
    deployment_prior: tuple[float, ...] | None = None
    deployment_objective: Measure | None = None
    expected_cost: Measure | None = None


class ClassThreshold(_Record):
    """What a class's probability must reach to be in the set.

    Attributes:
        threshold: 0..1; 0 puts it into every set, where too little was there to say more.
        rows: calibration pictures behind it, of the class, or of the classes it was pooled with.
        basis: own rows, those of all rare classes together, or not enough.
    """

    label: str
    threshold: float
    rows: int
    basis: Literal["own", "pooled", "not_enough"]


class RiskPoint(_Record):
    """One point of the risk-coverage curve: risk among the pictures that are answered."""

    coverage: float
    risk: float


class AnswerRules(_Record):
    """When the model gives several classes, none, or calls a picture foreign; part of the graph.

    Attributes:
        target_coverage: share of the pictures of a class whose set is to hold the true class.
        max_abstention: risk score above which it abstains; null: never.
        target_risk: share of wrong answers among those given that is to be kept; null: none was asked for.
        risk_bound: upper 95 % bound (Clopper-Pearson) of that share on calibration pictures.
        coverage: share of calibration pictures that are answered.
        ood_false_alarm_rate: share of calibration pictures of known classes called foreign, by construction.
        calibration_rows: pictures that all this was fitted on.
    """

    target_coverage: float
    thresholds: tuple[ClassThreshold, ...]
    target_risk: float | None = None
    max_abstention: float | None = None
    risk_bound: float | None = None
    coverage: float = 1.0
    risk_coverage: tuple[RiskPoint, ...] = ()
    ood_neighbours: int = 0
    ood_bank_rows: int = 0
    ood_false_alarm_rate: float | None = None
    calibration_rows: int


class ClassCoverage(_Record):
    """Share of a class's test pictures whose set holds it, beside what was asked for."""

    label: str
    rows: int
    calibration_rows: int
    basis: Literal["own", "pooled", "not_enough"]
    coverage: Measure
    mean_set_size: float | None


class AnswerDetail(_Record):
    """What the answer rules did on test pictures.

    Attributes:
        risk: share of wrong answers among those given.
        answered: share of pictures that are answered.
        answered_by_class: the same of each class: abstaining can drop rare ones silently.
        area_under_risk_coverage: mean risk over all coverages.
        ood_false_alarm_rate: share of test pictures called foreign.
    """

    per_class: tuple[ClassCoverage, ...]
    risk: Measure
    answered: Measure
    answered_by_class: tuple[Measure, ...]
    area_under_risk_coverage: float | None
    ood_false_alarm_rate: Measure


class CorruptionScore(_Record):
    """A model on test pictures that were spoiled in one way.

    Attributes:
        severity: 1, 3 or 5; of shifts and attacks their own number.
        worst_class: with the least recall.
        flip_rate: share of pictures that get another answer than unspoiled.
    """

    name: str
    severity: float
    rows: int
    accuracy: float
    balanced_accuracy: float
    worst_class: str
    worst_recall: float
    flip_rate: float


class MembershipReport(_Record):
    """How well one who has the model tells pictures that it learned from, by how sure it is of them.

    Attributes:
        rows: of train, and as many of test, class by class.
        area: how often a picture that was learned from looks more so than another; low to high: 95 % interval.
        advantage: largest gap between right and wrong guesses, 0..1.
        found_at_one_percent: share of the training pictures that are found where one in a hundred others is named too.
    """

    rows: int
    area: float
    low: float
    high: float
    advantage: float
    found_at_one_percent: float


class RobustnessReport(_Record):
    """A model on spoiled test pictures.

    Attributes:
        clean_balanced_accuracy: on the same pictures, unspoiled.
        mean_balanced_accuracy: over all corruptions and severities; attacks and shifts aside.
        attacks: empty where none was asked for; an upper bound of what a real attacker leaves.
        membership: null where it was not asked, or of too few pictures.
    """

    model_name: str
    rows: int
    clean_balanced_accuracy: float
    mean_balanced_accuracy: float
    worst: str
    corruptions: tuple[CorruptionScore, ...]
    shifts: tuple[CorruptionScore, ...] = ()
    attacks: tuple[CorruptionScore, ...] = ()
    membership: MembershipReport | None = None


class ShadowAnswers(_Record):
    """What one of two models said of the same pictures.

    Attributes:
        labels: pictures by label; of several labels a picture, each counts.
        abstained: pictures whose answer is not to be used; null where the model has no limit of risk.
        foreign: pictures unlike its training pictures; null where it cannot tell.
    """

    bundle_sha256: str
    labels: dict[str, int]
    mean_score: float
    abstained: int | None = None
    foreign: int | None = None


class ShadowDifference(_Record):
    """A picture that two models answer differently; `sureness` is the smaller of both scores."""

    path: str
    champion_label: str
    candidate_label: str
    sureness: float


class ShadowReport(_Record):
    """A candidate beside the champion on the pictures of one scoring run; nobody used its answers.

    Attributes:
        failure: why there is no comparison; null where there is one.
        rows: pictures that both answered.
        left_out: the run's pictures that the candidate could not be asked about, by reason.
        not_asked: the run's pictures beyond the number that the settings allow.
        agreement: share of pictures with the same answer; its interval is Wilson's.
        changed: how many pictures went from one answer to another, most first.
        differences: those that both are surest of, first.
        pictures_per_s: that the candidate answered, reading included.
    """

    candidate_sha256: str
    failure: str | None = None
    rows: int = 0
    left_out: dict[str, int] = {}
    not_asked: int = 0
    agreement: Measure | None = None
    champion: ShadowAnswers | None = None
    candidate: ShadowAnswers | None = None
    changed: tuple[ConfusedPair, ...] = ()
    differences: tuple[ShadowDifference, ...] = ()
    pictures_per_s: float | None = None
