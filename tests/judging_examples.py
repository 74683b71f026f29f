"""Sealed records of a judged model as tests make them up: every part filled, names of classes as they please."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from models.artifacts.judging_records import (
    AnswerDetail,
    AnswerRules,
    ClassCoverage,
    ClassDetail,
    ClassThreshold,
    ConfusedPair,
    CorruptionScore,
    Details,
    Measure,
    RiskPoint,
    RobustnessReport,
    ShotGroup,
    SliceDetail,
)
from models.artifacts.records import (
    Calibration,
    Candidate,
    ClassScore,
    Correction,
    EpochRecord,
    Finding,
    Interval,
    Mistake,
    ModelCard,
    ReliabilityBin,
    Scorecard,
    Scores,
    Trial,
    Verdict,
)
from models.artifacts.tables import MANIFEST, SPLIT, table_of
from models.data.preprocess import Preprocess
from models.data.resample import ResamplingSettings, plan_resampling
from models.data.split import SplitSettings
from models.reports.run_report import RunRecords

_BASES: tuple[Literal["own", "pooled", "not_enough"], ...] = ("own", "pooled", "not_enough")
# Of the reliability diagram, the confusion and the rest of a made-up model.
_SHARE = 0.8


def measure(value: float, rows: int = 40) -> Measure:
    """A measure with an interval around it, as wide as its rows allow."""
    half = 1 / rows**0.5
    return Measure(value=value, low=max(value - half, 0.0), high=min(value + half, 1.0), rows=rows)


def class_detail(label: str, place: int) -> ClassDetail:
    """Every third class has too few pictures, and no ranking."""
    is_enough = place % 3 != 2
    rows = 40 if is_enough else 7
    none = Measure(value=None, rows=0)
    return ClassDetail(
        label=label,
        support=rows,
        train_rows=(250, 60, 12)[place % 3],
        shot=("many", "medium", "few")[place % 3],
        is_enough=is_enough,
        precision=measure(0.7 + place % 3 / 10, rows),
        recall=measure(_SHARE - place % 4 / 10, rows),
        f1=measure(0.75, rows),
        average_precision=measure(0.81, rows) if is_enough else none,
        roc_auc=measure(0.93, rows) if is_enough else none,
    )


def details(classes: Sequence[str]) -> Details:
    """Details with three slices by blur and two by camera, a prior and costs."""
    slices = [("blur", "sharp"), ("blur", "a little"), ("blur", "very"), ("camera", classes[0]), ("camera", "right")]
    return Details(
        objective_name="balanced_accuracy",
        resampled="groups",
        accuracy=measure(0.83, 400),
        balanced_accuracy=measure(0.79, 400),
        macro_f1=measure(0.77, 400),
        weighted_f1=measure(0.82, 400),
        log_loss=measure(0.51, 400),
        brier=measure(0.24, 400),
        calibration_error=measure(0.043, 400),
        adaptive_calibration_error=measure(0.047, 400),
        per_class=tuple(class_detail(label, place) for place, label in enumerate(classes)),
        shot_groups=tuple(
            ShotGroup(shot=shot, classes=tuple(classes[place::3]), recall=measure(0.8 - place / 10, 130))
            for place, shot in enumerate(("many", "medium", "few"))
        ),
        confused=(ConfusedPair(label=classes[0], predicted=classes[1], rows=9, share=0.225),),
        slices=tuple(
            SliceDetail(
                column=column,
                value=value,
                rows=80,
                accuracy=measure(0.8, 80),
                balanced_accuracy=measure(0.79 if value != "very" else 0.4, 80),
                macro_f1=measure(0.76, 80),
            )
            for column, value in slices
        ),
        deployment_prior=tuple(1 / len(classes) for _ in classes),
        deployment_objective=measure(0.781, 400),
        expected_cost=Measure(value=0.317, low=0.29, high=0.35, rows=400),
    )


def answer_rules(classes: Sequence[str], *, max_abstention: float | None = 0.6) -> AnswerRules:
    """Rules with a target risk, and a bank of known pictures."""
    thresholds = [
        ClassThreshold(label=label, threshold=0.2, rows=30, basis=_BASES[k % 3]) for k, label in enumerate(classes)
    ]
    return AnswerRules(
        target_coverage=0.9,
        thresholds=tuple(thresholds),
        target_risk=0.05,
        max_abstention=max_abstention,
        risk_bound=0.049,
        coverage=0.82,
        risk_coverage=tuple(RiskPoint(coverage=k / 20, risk=0.15 * (k / 20) ** 2) for k in range(1, 21)),
        ood_neighbours=10,
        ood_bank_rows=300,
        ood_false_alarm_rate=0.05,
        calibration_rows=350,
    )


def answer_detail(classes: Sequence[str]) -> AnswerDetail:
    """What such rules did on test pictures; the first class is covered less than was asked for."""
    return AnswerDetail(
        per_class=tuple(
            ClassCoverage(
                label=label,
                rows=40,
                calibration_rows=35,
                basis=_BASES[place % 3],
                coverage=measure(0.92 if place else 0.6),
                mean_set_size=1.4,
            )
            for place, label in enumerate(classes)
        ),
        risk=measure(0.06, 400),
        answered=measure(0.8, 400),
        answered_by_class=tuple(measure(0.9 - place % 5 / 10) for place, _ in enumerate(classes)),
        area_under_risk_coverage=0.043,
        ood_false_alarm_rate=measure(0.061, 400),
    )


def robustness_report(classes: Sequence[str]) -> RobustnessReport:
    """Two ways of spoiling at three severities."""
    return RobustnessReport(
        model_name="examples",
        rows=400,
        clean_balanced_accuracy=0.79,
        mean_balanced_accuracy=0.61,
        worst="gaussian_noise",
        corruptions=tuple(
            CorruptionScore(
                name=name,
                severity=severity,
                rows=400,
                accuracy=0.8 - severity / 20,
                balanced_accuracy=0.78 - severity / 20,
                worst_class=classes[-1],
                worst_recall=0.2,
                flip_rate=severity / 20,
            )
            for name in ("gaussian_noise", "jpeg")
            for severity in (1, 3, 5)
        ),
    )


def scorecard(classes: Sequence[str], mistakes: Sequence[Mistake] = ()) -> Scorecard:
    """A scorecard with all its parts."""
    interval = Interval(value=0.79, low=0.74, high=0.84)
    scores = Scores(
        rows=400,
        accuracy=interval,
        balanced_accuracy=interval,
        macro_f1=interval,
        log_loss=0.51,
        calibration_error=0.043,
        per_class=tuple(ClassScore(label=label, support=40, precision=0.8, recall=0.7, f1=0.745) for label in classes),
        confusion=tuple(
            tuple(30 if a == b else (a + b) % 3 for b, _ in enumerate(classes)) for a, _ in enumerate(classes)
        ),
    )
    bins = [
        ReliabilityBin(low=k / 15, high=(k + 1) / 15, rows=1200, mean_score=(k + 0.6) / 15, share_right=k / 16)
        for k in range(2, 15)
    ]
    return Scorecard(
        model_name="examples",
        split="test",
        classes=tuple(classes),
        served=scores,
        uncorrected=scores,
        slices=(),
        reliability=tuple(bins),
        worst_mistakes=tuple(mistakes),
        details=details(classes),
        answers=answer_detail(classes),
    )


def model_card(classes: Sequence[str]) -> ModelCard:
    """A card of a model that was trained for eight epochs, with all its parts."""
    prior = tuple(1 / len(classes) for _ in classes)
    trial = Trial(regularisation=0.01, correction="tau_norm", correction_strength=0.5, objective=0.78)
    return ModelCard(
        name="examples",
        learner="fine_tune",
        learner_reason="there is a GPU",
        network="torchvision/resnet18",
        classes=tuple(classes),
        preprocess=Preprocess(width_px=224, height_px=224),
        correction=Correction(
            objective_name="balanced_accuracy",
            name="tau_norm",
            regularisation=0.01,
            strength=0.5,
            log_offset=tuple(0.0 for _ in classes),
            trials=(trial, trial.model_copy(update={"correction_strength": 0.0, "objective": 0.7})),
        ),
        calibration=Calibration(
            temperature=1.31, class_scale=tuple(1.1 for _ in classes), log_loss_before=0.6, log_loss_after=0.52
        ),
        answers=answer_rules(classes),
        epochs=tuple(
            EpochRecord(
                epoch=k, train_loss=2 / (k + 1), train_accuracy=k / 8, tune_loss=2.2 / (k + 1), tune_objective=k / 9
            )
            for k in range(8)
        ),
        notes=("memory ran out once; the batch was halved",),
        candidates=(
            Candidate(variant="int8", is_served=False, agreement=0.97, drop=0.02, speedup=1.8, reason="lost too much"),
        ),
        train_objective=0.9,
        tune_objective=0.78,
        train_prior=prior,
        effective_prior=prior,
        split=SplitSettings(),
        train_rows=1400,
        tune_rows=350,
        data_sha256="c" * 64,
        training_sha256="d" * 64,
        weights_source="ImageNet",
        weights_licence="BSD-3-Clause",
        sortline_version="0.3.0",
    )


def run_records(folder: Path, classes: Sequence[str], paths: Sequence[str]) -> RunRecords:
    """What a report of such a run is made from; pictures of `paths` are written into the folder."""
    rng = np.random.default_rng(0)
    for path in paths:
        Image.fromarray(rng.integers(0, 255, (150, 200, 3), np.uint8)).save(folder / path)
    mistakes = [Mistake(path=path, label=classes[0], predicted=classes[-1], score=0.987) for path in paths]
    refused = Finding(
        rule="enough_recall",
        severity="critical",
        outcome="failed",
        observed="0.4",
        limit="at least 0.5",
        items=tuple(paths),
        do="Add pictures.",
    )
    passed = refused.model_copy(update={"rule": "enough_pictures", "outcome": "passed"})
    rows = [{"path": path, "label": label, "status": "ok", "split": "train"} for path in paths for label in classes]
    verdict = Verdict(
        subject="manifest", findings=(passed,), not_asked={"labels_match_champion": "there is no champion"}
    )
    return RunRecords(
        folder=folder,
        card=model_card(classes),
        scorecard=scorecard(classes, mistakes),
        manifest=table_of(rows, MANIFEST),
        split=table_of(rows, SPLIT),
        plan=plan_resampling(table_of(rows, SPLIT), ResamplingSettings()),
        data_verdict=verdict,
        split_verdict=verdict,
        gate_verdict=Verdict(subject="candidate", findings=(refused, passed)),
        label_errors=tuple(mistakes),
        overlays={path: (folder / path).read_bytes() for path in paths},
        robustness=robustness_report(classes),
    )
