"""What a candidate has to reach, and how much each rule counts."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from models.settings import Settings

RuleSeverity = Literal["critical", "warning", "info", "off"]
Relation = Literal["better", "not_worse"]


class GateSeverities(Settings):
    """How much each rule counts: critical refuses, warning and info are shown, off is not asked."""

    macro_f1_reached: RuleSeverity = Field(default="critical", title="Macro-F1", description="Least macro-F1.")
    objective_reached: RuleSeverity = Field(default="critical", title="Objective", description="Least objective.")
    class_recall_reached: RuleSeverity = Field(
        default="critical", title="Recall of classes", description="Least recall of any class."
    )
    slice_accuracy_reached: RuleSeverity = Field(
        default="critical", title="Accuracy of slices", description="Least accuracy of any slice."
    )
    classes_are_judged_on_enough: RuleSeverity = Field(
        default="warning", title="Class minimum", description="Test pictures of each class."
    )
    calibration_error_kept: RuleSeverity = Field(
        default="warning", title="Calibration", description="Largest calibration error."
    )
    log_loss_kept: RuleSeverity = Field(default="critical", title="Log loss", description="Largest log loss.")
    robustness_kept: RuleSeverity = Field(
        default="critical", title="Robustness", description="Largest loss on spoiled pictures."
    )
    latency_kept: RuleSeverity = Field(default="critical", title="Latency", description="Largest time a picture.")
    size_kept: RuleSeverity = Field(default="critical", title="Size", description="Largest model file.")
    score_is_plausible: RuleSeverity = Field(
        default="warning", title="Plausible score", description="Test scores that smell of a leak."
    )
    better_than_champion: RuleSeverity = Field(
        default="critical", title="Better", description="Gain over the champion, where relation is better."
    )
    not_worse_than_champion: RuleSeverity = Field(
        default="critical", title="Not worse", description="Loss to the champion, where relation is not_worse."
    )
    class_recall_not_lost: RuleSeverity = Field(
        default="critical", title="Loss of classes", description="Recall of each class, against the champion."
    )
    slice_accuracy_not_lost: RuleSeverity = Field(
        default="warning", title="Loss of slices", description="Accuracy of each slice, against the champion."
    )
    gain_is_plausible: RuleSeverity = Field(
        default="warning", title="Plausible gain", description="Gains over the champion that smell of a leak."
    )


class GateSettings(Settings):
    """What a candidate has to reach."""

    min_macro_f1: float = Field(
        default=0.0, ge=0, le=1, description="Macro-F1 on test, below which it is refused.", title="Least macro-F1"
    )
    min_objective: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="The number that training aims at, on test, below which it is refused. 0: not asked.",
        title="Least objective",
    )
    min_class_recall: float = Field(
        default=0.0, ge=0, le=1, description="Recall that every class needs. 0: not asked.", title="Least recall"
    )
    min_slice_accuracy: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Accuracy that every slice of 10 test pictures or more needs. 0: not asked.",
        title="Least accuracy of slices",
    )
    min_class_rows: int = Field(
        default=10, ge=1, description="Test pictures of a class, below which it warns.", title="Class minimum"
    )
    max_calibration_error: float = Field(
        default=0.15,
        ge=0,
        le=1,
        description="Mean gap of scores and shares of right answers, above which it warns. 0: not asked.",
        title="Calibration error",
    )
    max_log_loss: float = Field(
        default=0.0, ge=0, description="Log loss on test, above which it is refused. 0: not asked.", title="Log loss"
    )
    max_robustness_loss: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Balanced accuracy that common corruptions may cost on average. 0: not asked.",
        title="Loss on spoiled pictures",
    )
    max_latency_ms: float = Field(
        default=0.0,
        ge=0,
        description="Milliseconds a picture on one thread of the machine that judges. 0: not measured.",
        title="Latency",
    )
    max_size_mb: float = Field(
        default=0.0, ge=0, description="Megabytes of the served model. 0: not asked.", title="Size"
    )
    relation: Relation = Field(
        default="better",
        description="What a candidate has to show against the champion: that it is better, or not worse.",
        title="Relation to champion",
    )
    min_gain_over_champion: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="better: the gain's lower 95 % bound has to lie above this.",
        title="Gain over champion",
    )
    max_loss_to_champion: float = Field(
        default=0.05,
        ge=0,
        le=1,
        description="not_worse: the objective that may be lost to the champion, at the lower 95 % bound.",
        title="Loss to champion",
    )
    max_class_loss: float = Field(
        default=0.05,
        ge=0,
        le=1,
        description="Recall that a class may lose to the champion; more is refused unless it may be chance.",
        title="Loss of a class",
    )
    max_slice_loss: float = Field(
        default=0.05,
        ge=0,
        le=1,
        description="Accuracy that a slice may lose to the champion; more warns unless it may be chance.",
        title="Loss of a slice",
    )
    false_alarm_rate: float = Field(
        default=0.2,
        gt=0,
        lt=1,
        description="Chance of any false alarm of a class, or of a slice, where both models are equally good.",
        title="False alarms",
    )
    max_gain_over_champion: float = Field(
        default=0.2, gt=0, le=1, description="Gain of the objective above which it warns.", title="Suspicious gain"
    )
    max_gain_over_tune: float = Field(
        default=0.1,
        gt=0,
        le=1,
        description="Objective on test above that on tune, at its lower bound, above which it warns.",
        title="Suspicious score",
    )
    severity: GateSeverities = Field(
        default=GateSeverities(), description="How much each rule counts.", title="Severities"
    )
