"""Sealed records: what was judged, trained, measured and seen to drift, as frozen Pydantic classes."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from models.artifacts.judging_records import AnswerDetail, AnswerRules, Details
from models.data.preprocess import Preprocess
from models.data.split import SplitSettings

Severity = Literal["critical", "warning", "info"]
Outcome = Literal["passed", "failed", "unknown"]
Task = Literal["single_label", "multi_label"]
Variant = Literal["float", "int8", "float16", "student", "pruned"]
RegistryEventName = Literal[
    "candidate",
    "imported",
    "approved",
    "rejected",
    "promoted",
    "refused",
    "rolled_back",
    "retired",
    "adapted",
    "adaptation_refused",
    "site_removed",
]


class _Record(BaseModel):
    # A loss may be infinite, and JSON has no such number.
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


class Finding(_Record):
    """What one rule said.

    Attributes:
        rule: its short name.
        outcome: `unknown` where it could not be evaluated.
        observed: the value found, as text with its unit.
        limit: what was expected, as text.
        items: some of the paths or classes that broke it, or that a share allows to.
        says: what holds where it passes.
        do: what to do where it does not.
    """

    rule: str
    severity: Severity
    outcome: Outcome
    observed: str
    limit: str
    items: tuple[str, ...] = ()
    says: str = ""
    do: str = ""


class Verdict(_Record):
    """Yes or no, with every rule that was asked.

    Attributes:
        not_asked: rules that lacked what they compare with, and what that is.
        offenders_sha256: digest of the sealed table OFFENDERS; empty where none was sealed.
    """

    subject: str
    findings: tuple[Finding, ...]
    not_asked: dict[str, str] = {}
    offenders_sha256: str = ""

    @property
    def blocking(self) -> tuple[Finding, ...]:
        """Critical rules that failed or could not be evaluated."""
        return tuple(f for f in self.findings if f.severity == "critical" and f.outcome != "passed")

    @property
    def is_accepted(self) -> bool:
        """Whether no critical rule stands against it."""
        return bool(self.findings) and not self.blocking


class Trial(_Record):
    """One combination that was tried on the tune split.

    Attributes:
        correction: logit_adjustment, tau_norm, crt, thresholds or none.
    """

    regularisation: float | None
    correction: str = "logit_adjustment"
    correction_strength: float
    objective: float


class Correction(_Record):
    """What was chosen on the tune split, and what else was tried.

    Attributes:
        log_offset: (K,) added to the logits; zero where nothing is corrected. For several labels a picture it holds
            the thresholds, so that a label is given where its probability is 0.5 or more.
    """

    objective_name: str
    imbalance: str = "auto"
    name: str = "logit_adjustment"
    regularisation: float | None
    strength: float
    log_offset: tuple[float, ...]
    trials: tuple[Trial, ...]


class Calibration(_Record):
    """How logits are changed so that scores are shares of right answers, inside the graph.

    Attributes:
        temperature: corrected logits are divided by it; the decision stays what it was.
        class_scale: (K,) times the logits before the correction, where one number a class was better; else empty.
        class_bias: (K,) added behind it.
        log_loss_before: on tune, of the first training where there were two.
        vector_gain: in log loss over a temperature alone, on held-out parts of tune; None where it was not asked.
    """

    temperature: float = 1.0
    class_scale: tuple[float, ...] = ()
    class_bias: tuple[float, ...] = ()
    log_loss_before: float | None = None
    log_loss_after: float | None = None
    vector_gain: float | None = None


class SearchTrial(_Record):
    """One training of a search for better settings.

    Attributes:
        values: what differs from the settings as they are, by names such as fit.weight_decay; empty for the first.
        outcome: `stopped early` where it fell behind the others.
        objective: on tune; None where it did not end.
        epoch_objectives: on tune, behind each of its epochs.
    """

    values: dict[str, float | str] = {}
    outcome: Literal["judged", "stopped early", "diverged"]
    objective: float | None = None
    epoch_objectives: tuple[float, ...] = ()


class Candidate(_Record):
    """A smaller or faster model that was tried in the place of the exported one, and what became of it.

    Attributes:
        agreement: share of tune pictures that keep their answer; null where it was not measured.
        objective: on tune; `drop` is what it lost to the exported model, negative where it gained.
        speedup: pictures a second over those of the exported model, on the machine that trained; null as above.
        reason: why it is served, or why not.
    """

    variant: Variant
    detail: str = ""
    is_served: bool
    agreement: float | None = None
    objective: float | None = None
    drop: float | None = None
    speedup: float | None = None
    size_bytes: int | None = None
    reason: str


class EpochRecord(_Record):
    """One pass over the training pictures.

    Attributes:
        train_accuracy: of the pictures as they were varied.
        tune_error: standard error of the objective on tune; 0 where it is not known.
    """

    epoch: int
    train_loss: float
    train_accuracy: float = 0.0
    tune_loss: float
    tune_objective: float
    tune_error: float = 0.0


class Exclusion(_Record):
    """Pictures that were not to be learned from, and that no split holds.

    Attributes:
        list_sha256: digest of the sorted list of their digests.
        listed: pictures on the list.
        found: of them, those that the folder held, under whatever name.
    """

    list_sha256: str
    listed: int
    found: int


class PrivacyReport(_Record):
    """What one training picture may have changed in a head, at most.

    Attributes:
        epsilon: that was spent; `asked_epsilon` was the limit.
        delta: chance with which it does not hold.
        rows: training pictures that it holds for.
    """

    epsilon: float
    asked_epsilon: float
    delta: float
    clip: float
    noise_multiplier: float
    epochs: int
    rows: int


class PseudoReport(_Record):
    """What became of pictures without labels in training.

    Attributes:
        pictures: without a label that were looked at.
        named: those that the first model was sure of.
        threshold: of its score; null where none was good enough.
        precision: share of right names from there on, on tune.
        first_objective: on tune, of the model without them; `second_objective` of the one with them.
        error: standard error of the difference.
        is_taken: whether the second model is this one.
        refusal: why not.
    """

    pictures: int
    named: int
    threshold: float | None = None
    precision: float
    named_by_class: dict[str, int] = {}
    first_objective: float = 0.0
    second_objective: float | None = None
    error: float | None = None
    is_taken: bool = False
    refusal: str = ""


class ModelCard(_Record):
    """Everything that says what a model is, beside its weights.

    Attributes:
        variant: `float` as exported, or what is served in its place.
        candidates: all that was tried in the place of the exported model.
        data_sha256: digest of the split that it learned from.
        training_sha256: digest of the settings of its training.
    """

    schema_version: Literal[1] = 1
    name: str
    task: Task = "single_label"
    learner: str
    learner_reason: str = ""
    network: str
    channels: Literal[1, 3] = 3
    classes: tuple[str, ...]
    preprocess: Preprocess
    correction: Correction
    calibration: Calibration = Calibration()
    answers: AnswerRules | None = None
    epochs: tuple[EpochRecord, ...] = ()
    notes: tuple[str, ...] = ()
    pseudo: PseudoReport | None = None
    privacy: PrivacyReport | None = None
    exclusion: Exclusion | None = None
    search: tuple[SearchTrial, ...] = ()
    variant: Variant = "float"
    candidates: tuple[Candidate, ...] = ()
    train_objective: float | None = None
    tune_objective: float | None = None
    train_prior: tuple[float, ...]
    effective_prior: tuple[float, ...]
    split: SplitSettings
    train_rows: int
    tune_rows: int
    data_sha256: str
    training_sha256: str = ""
    weights_source: str
    weights_licence: str
    weights_digest: str = ""
    sortline_version: str


class Interval(_Record):
    """A measured value with its 95 % bootstrap interval, both in 0..1."""

    value: float
    low: float
    high: float


class ClassScore(_Record):
    """Numbers of one class; `precision` is null where the class was never predicted."""

    label: str
    support: int
    precision: float | None
    recall: float | None
    f1: float | None


class LabelCounts(_Record):
    """Decisions about one label; the four sum to the pictures."""

    label: str
    true_positives: int
    false_positives: int
    false_negatives: int
    true_negatives: int


class Scores(_Record):
    """Numbers of one set of predictions.

    Attributes:
        accuracy: share of pictures that are right; with several labels, of those whose whole set is.
        confusion: rows are true classes, columns predicted ones; empty with several labels a picture.
        label_counts: empty with one label a picture.
        mean_average_precision: of the labels that some picture has; null with one label a picture.
    """

    rows: int
    accuracy: Interval
    balanced_accuracy: Interval
    macro_f1: Interval
    log_loss: float
    calibration_error: float
    per_class: tuple[ClassScore, ...]
    confusion: tuple[tuple[int, ...], ...]
    label_counts: tuple[LabelCounts, ...] = ()
    mean_average_precision: float | None = None


class SliceScore(_Record):
    """Numbers of the rows that share a value of one of the user's columns."""

    column: str
    value: str
    rows: int
    accuracy: float
    balanced_accuracy: float
    macro_f1: float


class ReliabilityBin(_Record):
    """Rows whose top score fell in one bin; with several labels, labels of pictures by their score.

    Attributes:
        share_right: of the rows; with several labels, the share of the labels that apply.
    """

    low: float
    high: float
    rows: int
    mean_score: float
    share_right: float


class Mistake(_Record):
    """A test picture filed under a wrong class with a high score.

    With several labels a picture, `label` and `predicted` name them all, and `score` is the probability that went the
    wrong way, summed over the labels: 0..K.
    """

    path: str
    label: str
    predicted: str
    score: float


class Scorecard(_Record):
    """All numbers of one model on the test split, computed through the bundle and the scoring loader."""

    model_name: str
    task: Task = "single_label"
    split: str
    classes: tuple[str, ...]
    served: Scores
    uncorrected: Scores
    slices: tuple[SliceScore, ...]
    reliability: tuple[ReliabilityBin, ...]
    worst_mistakes: tuple[Mistake, ...]
    details: Details | None = None
    answers: AnswerDetail | None = None


class ScoreSummary(_Record):
    """What one scoring run did and what the output now holds.

    Attributes:
        plan_ids: plans that this run committed; where nothing was new, the last one before.
        files: files found in the folder.
        rows_by_status: rows of the folder's files in the output, by status.
        rows_scored: rows this run added; 0 where nothing was new.
        elapsed_s: seconds from the first listing to the last commit, of the run that added rows last.
        images_per_s: pictures that were read, decoded and scored a second, in that same run.
        provider: what ran the model in that same run.
        abstained: of the folder's files, those whose answer is not to be used; null where the model has no limit.
        foreign: of the folder's files, those unlike the training pictures; null where the model cannot tell.
        deferred: files that are left for the next run: still being written, or of tasks that failed.
        class_prior: the mix of classes that scores are for, as in `scoring.class_prior`; empty: as the model learned.
    """

    folder: str
    out: str
    model_name: str
    bundle_sha256: str
    plan_ids: tuple[str, ...]
    files: int
    rows_scored: int
    rows_by_status: dict[str, int]
    labels: dict[str, int]
    elapsed_s: float
    images_per_s: float
    provider: str = "cpu"
    abstained: int | None = None
    foreign: int | None = None
    deferred: int = 0
    class_prior: tuple[str, ...] = ()


class DriftMeasure(_Record):
    """One property of a batch against the baseline, or against the batches before.

    Attributes:
        limit: the distance behind which it is drift, were it the only measure that moved.
        p_value: how often chance makes a distance as large; null where nothing was compared.
        values: what the shares below are of: ranges of a number, or values.
        reference_shares: of the pictures that are compared with.
        batch_shares: of the batch.
    """

    name: str
    status: Literal["ok", "drift", "not_enough_data"]
    rows: int
    distance: float | None
    limit: float | None
    explanation: str
    against: Literal["baseline", "previous"] = "baseline"
    p_value: float | None = None
    values: tuple[str, ...] = ()
    reference_shares: tuple[float, ...] = ()
    batch_shares: tuple[float, ...] = ()


class AccuracyEstimate(_Record):
    """Share of right answers, told without labels, with its 95 % interval; or why it is not told."""

    status: Literal["known", "unknown", "not_enough_data"]
    explanation: str
    value: float | None = None
    low: float | None = None
    high: float | None = None


class ClassShare(_Record):
    """Estimated share of one class with its 95 % interval, beside that among the test pictures."""

    label: str
    baseline: float
    share: float
    low: float
    high: float


class ClassMix(_Record):
    """Estimated shares of the classes in a batch; `unknown`: the pictures changed in other ways too."""

    status: Literal["shifted", "same", "unknown", "not_enough_data"]
    explanation: str
    shares: tuple[ClassShare, ...] = ()


class DriftReport(_Record):
    """Distances of one scored batch from the bundle's baseline, with counts.

    Attributes:
        previous_rows: rows of the batches before that it was compared with.
        accuracy: null in reports of before 0.3, as is the next.
        class_mix: of the batch.
        at: when the newest of its rows were committed, as ISO 8601 in UTC.
        out: the output that it lies in.
        plan_ids: plans whose rows it is.
    """

    model_name: str
    bundle_sha256: str
    rows: int
    baseline_rows: int
    measures: tuple[DriftMeasure, ...]
    previous_rows: int = 0
    accuracy: AccuracyEstimate | None = None
    class_mix: ClassMix | None = None
    at: str = ""
    out: str = ""
    plan_ids: tuple[str, ...] = ()

    @property
    def status(self) -> Literal["ok", "drift", "not_enough_data"]:
        """The worst of the measures; without any comparison `not_enough_data`, never `ok`."""
        found = {measure.status for measure in self.measures}
        if "drift" in found:
            return "drift"
        return "ok" if "ok" in found else "not_enough_data"


class RegistryEvent(_Record):
    """One line of a model's history.

    Attributes:
        at: when, as ISO 8601 in UTC.
        event: `promoted` and `rolled_back` make a champion, `candidate` and `imported` one that waits for a person,
            `adapted` the adaptation that scores at a site from then on, until `site_removed`.
        macro_f1: of the bundle, on its test split.
        by: who, as user@host or as they named themselves; empty in lines of before 0.3.
        verdict_sha256: digest of the sealed verdict behind it; empty where there is none.
        prev_sha256: digest of the line before; zeros in the first, empty in lines of before 0.3.
        site: that an adaptation is for; empty in all other events.
        site_sha256: digest of the site file.
    """

    sequence: int
    at: str
    event: RegistryEventName
    bundle_sha256: str
    macro_f1: float
    reason: str
    by: str = ""
    verdict_sha256: str = ""
    prev_sha256: str = ""
    site: str = ""
    site_sha256: str = ""
