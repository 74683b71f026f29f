"""Rules on a candidate beside the champion, by what both say of the very same test pictures."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from validation.chance import chance_of_loss, rejected_by_holm
from validation.evidence import Answer, Evidence, Judged, NotAsked, outcome_of
from validation.gate_settings import GateSettings
from validation.paired import Comparison, Gain, LabelComparison, observed_gain, paired_gain, unit_numbers

_UNCOMPARABLE = "the champion has other classes, split or task: nothing can be compared; take another --name"
_TAKE_ANOTHER = "Take another --name, or train with the champion's classes, split and task."
Flags = NDArray[np.bool_]


class _Loss(NamedTuple):
    """What the rows of a class or slice lost to the champion; `chance` that equally good models lose as much."""

    name: str
    rows: int
    share: float
    chance: float


def is_better(evidence: Evidence, settings: GateSettings) -> Answer:
    """The objective is shown to be above the champion's; luck inside the interval is no gain."""
    if settings.relation != "better":
        return NotAsked("gate.relation is not_worse")
    limit = f"lower bound above {settings.min_gain_over_champion:.3f}"
    do = "Add pictures or change training; gate.relation=not_worse accepts a model that is as good."
    return _judge_gain(evidence, limit, do, lambda gain: gain.low > settings.min_gain_over_champion)


def is_not_worse(evidence: Evidence, settings: GateSettings) -> Answer:
    """The objective is shown to be hardly below the champion's."""
    if settings.relation != "not_worse":
        return NotAsked("gate.relation is better")
    limit = f"lower bound at least {-settings.max_loss_to_champion:.3f}"
    do = "Look at what became worse in the report; more test pictures make the bound sharper."
    return _judge_gain(evidence, limit, do, lambda gain: gain.low >= -settings.max_loss_to_champion)


def loses_no_class(evidence: Evidence, settings: GateSettings) -> Answer:
    """No class is found less often than by the champion, unless by so little or so few that it may be chance."""
    limit = _loss_limit(settings.max_class_loss, settings.false_alarm_rate)
    comparison = evidence.comparison
    if comparison is None:
        return Judged("unknown", _UNCOMPARABLE, limit, _TAKE_ANOTHER)
    losses = _class_losses(comparison, evidence.scorecard.classes)
    if not losses:
        return Judged("unknown", "no test picture has a label", limit, "Add labelled test pictures.")
    do = "Add pictures of these classes, or raise gate.max_class_loss where the loss is worth its price."
    return _judge_losses(losses, settings.max_class_loss, settings.false_alarm_rate, "recall", do)


def loses_no_slice(evidence: Evidence, settings: GateSettings) -> Answer:
    """No slice is right less often than by the champion, unless by so little or so few that it may be chance."""
    limit = _loss_limit(settings.max_slice_loss, settings.false_alarm_rate)
    comparison = evidence.comparison
    if comparison is None:
        return Judged("unknown", _UNCOMPARABLE, limit, _TAKE_ANOTHER)
    if not comparison.slices:
        return NotAsked("no slice is large enough")
    lost, unit = _lost_rows(comparison), unit_numbers(comparison)
    losses = [_loss(f"{s.column}={s.value}", lost[s.inside], unit[s.inside]) for s in comparison.slices]
    do = "Look at what these pictures have in common, and add some of them."
    return _judge_losses(losses, settings.max_slice_loss, settings.false_alarm_rate, "accuracy", do)


def gain_is_plausible(evidence: Evidence, settings: GateSettings) -> Answer:
    """The gain over the champion is not so large that it smells of a leak."""
    limit = f"at most {settings.max_gain_over_champion:.3f}"
    if evidence.comparison is None:
        return Judged("unknown", _UNCOMPARABLE, limit, _TAKE_ANOTHER)
    gain = observed_gain(evidence.comparison, evidence.objective_name)
    return Judged(
        outcome=outcome_of(gain <= settings.max_gain_over_champion),
        observed=f"{evidence.objective_name.replace('_', ' ')} {gain:+.3f}",
        limit=limit,
        do="Look for copies of test pictures in train and for new marks in the pictures that tell the class.",
    )


def _judge_gain(evidence: Evidence, limit: str, do: str, keeps: Callable[[Gain], bool]) -> Judged:
    if evidence.comparison is None:
        return Judged("unknown", _UNCOMPARABLE, limit, _TAKE_ANOTHER)
    gain = paired_gain(evidence.comparison, evidence.objective_name)
    name = evidence.objective_name.replace("_", " ")
    return Judged(outcome_of(keeps(gain)), f"{name} {gain.value:+.3f}, lower bound {gain.low:+.3f}", limit, do)


def _loss_limit(share: float, false_alarm_rate: float) -> str:
    return f"at most {share:.3f}, or as much by chance, {false_alarm_rate:g} over all of them"


def _judge_losses(losses: list[_Loss], share: float, false_alarm_rate: float, what: str, do: str) -> Judged:
    """What a rule says of losses: more than `share` is too much where it is no chance among so many."""
    sure = rejected_by_holm(np.array([loss.chance for loss in losses]), false_alarm_rate)
    broken = [loss for loss, is_sure in zip(losses, sure, strict=True) if is_sure and loss.share > share]
    worst = min(broken or losses, key=lambda loss: (loss.chance, -loss.share))
    found = f"{worst.name} loses {worst.share:.3f} {what} on {worst.rows} pictures, {worst.chance:.2g} by chance"
    nothing = f"nothing loses {what}"
    return Judged(
        outcome=outcome_of(not broken),
        observed=found if worst.share > 0 else nothing,
        limit=_loss_limit(share, false_alarm_rate),
        do=do,
        items=tuple(loss.name for loss in broken),
    )


def _class_losses(comparison: Comparison | LabelComparison, classes: tuple[str, ...]) -> list[_Loss]:
    """One loss a class that has test pictures; of a label, among the pictures that have it."""
    unit, found = unit_numbers(comparison), []
    for place, name in enumerate(classes):
        if isinstance(comparison, LabelComparison):
            inside = comparison.targets[:, place]
            lost = _difference(comparison.champion[:, place], comparison.candidate[:, place])
        else:
            inside, lost = comparison.true_index == place, _lost_rows(comparison)
        if inside.any():
            found.append(_loss(name, lost[inside], unit[inside]))
    return found


def _lost_rows(comparison: Comparison | LabelComparison) -> NDArray[np.int64]:
    """(N,) 1 where only the champion is right, -1 where only the candidate is, else 0; of labels the whole set."""
    if isinstance(comparison, LabelComparison):
        ours, theirs = ((comparison.targets == given).all(1) for given in (comparison.candidate, comparison.champion))
        return _difference(theirs, ours)
    return _difference(
        comparison.champion == comparison.true_index,
        comparison.candidate == comparison.true_index,
    )


def _difference(theirs: Flags, ours: Flags) -> NDArray[np.int64]:
    return theirs.astype(np.int64) - ours


def _loss(name: str, lost: NDArray[np.int64], unit: NDArray[np.int64]) -> _Loss:
    return _Loss(name, len(lost), float(lost.mean()), chance_of_loss(lost, unit))
