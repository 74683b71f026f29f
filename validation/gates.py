"""Gates on a candidate: by itself, and beside the champion on the very same test pictures.

Cold start: without a champion, rules that compare are not asked, and those on the candidate alone decide. The first is
always asked and always critical: better than guessing, at the lower bound. The bundle that is champion already is
judged in the same way. A champion that cannot be compared is no cold start: what compares is then `unknown`. A rule
that is `unknown` counts as one that failed: where it is critical it blocks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from models.artifacts.records import Finding, Verdict
from validation import champion_gates, scorecard_gates
from validation.evidence import Answer, Evidence, NotAsked
from validation.gate_settings import GateSettings

Rule = Callable[[Evidence, GateSettings], Answer]
Standing = Literal["cold_start", "same_bundle", "challenger"]
_ALONE: dict[Standing, str] = {
    "cold_start": "there is no champion yet",
    "same_bundle": "this very bundle is the champion",
}
_ALWAYS = "better_than_guessing"
_CANDIDATE_RULES: dict[str, Rule] = {
    _ALWAYS: scorecard_gates.beats_guessing,
    "macro_f1_reached": scorecard_gates.reaches_macro_f1,
    "objective_reached": scorecard_gates.reaches_objective,
    "class_recall_reached": scorecard_gates.reaches_recall,
    "slice_accuracy_reached": scorecard_gates.reaches_slices,
    "classes_are_judged_on_enough": scorecard_gates.has_rows,
    "calibration_error_kept": scorecard_gates.keeps_calibration,
    "log_loss_kept": scorecard_gates.keeps_log_loss,
    "robustness_kept": scorecard_gates.keeps_robustness,
    "latency_kept": scorecard_gates.keeps_latency,
    "size_kept": scorecard_gates.keeps_size,
    "score_is_plausible": scorecard_gates.is_plausible,
}
_CHAMPION_RULES: dict[str, Rule] = {
    "better_than_champion": champion_gates.is_better,
    "not_worse_than_champion": champion_gates.is_not_worse,
    "class_recall_not_lost": champion_gates.loses_no_class,
    "slice_accuracy_not_lost": champion_gates.loses_no_slice,
    "gain_is_plausible": champion_gates.gain_is_plausible,
}


def judge_candidate(evidence: Evidence, standing: Standing, settings: GateSettings) -> Verdict:
    """Every gate's finding on a candidate; rules that were not asked are listed with the reason.

    Args:
        evidence: what is known of it.
        standing: whether there is a champion, and another one than the candidate.
        settings: limits and severities.
    """
    answers = {name: _ask(name, rule, evidence, settings) for name, rule in _CANDIDATE_RULES.items()}
    for name, rule in _CHAMPION_RULES.items():
        alone = _ALONE.get(standing)
        answers[name] = NotAsked(alone) if alone else _ask(name, rule, evidence, settings)
    severities = {_ALWAYS: "critical", **settings.severity.model_dump()}
    return Verdict(
        subject="candidate",
        findings=tuple(
            Finding(rule=name, severity=severities[name], **answer._asdict())
            for name, answer in answers.items()
            if not isinstance(answer, NotAsked)
        ),
        not_asked={name: answer.reason for name, answer in answers.items() if isinstance(answer, NotAsked)},
    )


def _ask(name: str, rule: Rule, evidence: Evidence, settings: GateSettings) -> Answer:
    if name != _ALWAYS and settings.severity.model_dump()[name] == "off":
        return NotAsked(f"gate.severity.{name} is off")
    return rule(evidence, settings)
