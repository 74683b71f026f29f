"""Rules on a candidate by itself: its numbers on test, its size, its time, and what is too good to be true."""

from __future__ import annotations

from validation.evidence import Answer, Evidence, Judged, NotAsked, objective_of, outcome_of, support_of
from validation.gate_settings import GateSettings

LEAST_CLASS_ROWS = 3
LEAST_SLICE_ROWS = 10
PERFECT_ROWS = 300
_MB = 1_000_000


def beats_guessing(evidence: Evidence, settings: GateSettings) -> Answer:  # noqa: ARG001 - all rules have one form
    """Balanced accuracy is above that of guessing, at its lower bound."""
    scorecard = evidence.scorecard
    is_multi = scorecard.task == "multi_label"
    chance = 0.5 if is_multi else 1 / len(scorecard.classes)
    found = scorecard.served.balanced_accuracy
    needed = f"{LEAST_CLASS_ROWS} test pictures {'with each label and without it' if is_multi else 'a class'}"
    # Drawn within a class of one or two pictures, a bootstrap has hardly any spread, and would accept luck.
    can_judge = min(support_of(scorecard, c) for c in scorecard.served.per_class) >= LEAST_CLASS_ROWS
    return Judged(
        outcome=outcome_of(found.low > chance) if can_judge else "unknown",
        observed=f"balanced accuracy {found.value:.3f}, lower bound {found.low:.3f}",
        limit=f"lower bound above {chance:.3f}, what guessing gives, on {needed}",
        do="Add pictures of the classes, or train longer or on larger pictures.",
    )


def reaches_macro_f1(evidence: Evidence, settings: GateSettings) -> Answer:
    """Macro-F1 reaches its limit."""
    found = evidence.scorecard.served.macro_f1.value
    return Judged(
        outcome=outcome_of(found >= settings.min_macro_f1),
        observed=f"macro-F1 {found:.3f}",
        limit=f"at least {settings.min_macro_f1:.3f}",
        do="Add pictures, above all of rare classes, or lower gate.min_macro_f1.",
    )


def reaches_objective(evidence: Evidence, settings: GateSettings) -> Answer:
    """The number that training aims at reaches its limit."""
    if not settings.min_objective:
        return NotAsked("gate.min_objective is 0")
    found = objective_of(evidence).value
    return Judged(
        outcome=outcome_of(found >= settings.min_objective),
        observed=f"{evidence.objective_name.replace('_', ' ')} {found:.3f}",
        limit=f"at least {settings.min_objective:.3f}",
        do="Add pictures or change training, or lower gate.min_objective.",
    )


def reaches_recall(evidence: Evidence, settings: GateSettings) -> Answer:
    """Every class is found often enough; one without test pictures cannot be judged."""
    if not settings.min_class_recall:
        return NotAsked("gate.min_class_recall is 0")
    classes = evidence.scorecard.served.per_class
    known = {c.label: c.recall for c in classes if c.recall is not None}
    low = tuple(label for label, recall in known.items() if recall < settings.min_class_recall)
    unseen = tuple(c.label for c in classes if c.recall is None)
    worst = min(known, key=lambda label: known[label], default=None)
    return Judged(
        outcome="unknown" if unseen and not low else outcome_of(not low),
        observed=f"least recall {known[worst]:.3f} of {worst}" if worst else "no class has a test picture",
        limit=f"at least {settings.min_class_recall:.3f} of every class",
        do="Add pictures of these classes, look for wrong labels among them, or lower gate.min_class_recall.",
        items=low or unseen,
    )


def reaches_slices(evidence: Evidence, settings: GateSettings) -> Answer:
    """Every slice is right often enough; where no slice is large enough nothing can be judged."""
    if not settings.min_slice_accuracy:
        return NotAsked("gate.min_slice_accuracy is 0")
    found = _slice_accuracies(evidence)
    low = tuple(name for name, accuracy in found.items() if accuracy < settings.min_slice_accuracy)
    worst = min(found, key=lambda name: found[name], default=None)
    return Judged(
        outcome=outcome_of(not low) if found else "unknown",
        observed=f"least accuracy {found[worst]:.3f} of {worst}" if worst else "no slice is large enough",
        limit=f"at least {settings.min_slice_accuracy:.3f} of every slice of {LEAST_SLICE_ROWS} pictures or more",
        do="Add pictures of these slices, or lower gate.min_slice_accuracy.",
        items=low,
    )


def has_rows(evidence: Evidence, settings: GateSettings) -> Answer:
    """Every class has test pictures enough to be judged by."""
    scorecard = evidence.scorecard
    smallest = min(support_of(scorecard, c) for c in scorecard.served.per_class)
    is_multi = scorecard.task == "multi_label"
    what = "fewest test pictures with or without a label:" if is_multi else "smallest class has"
    few = [c for c in scorecard.served.per_class if support_of(scorecard, c) < settings.min_class_rows]
    return Judged(
        outcome=outcome_of(not few),
        observed=f"{what} {smallest}{'' if is_multi else ' test pictures'}",
        limit=f"at least {settings.min_class_rows}",
        do="Add pictures of these classes: what the other rules say of them is hardly more than a guess.",
        items=tuple(c.label for c in few),
    )


def keeps_calibration(evidence: Evidence, settings: GateSettings) -> Answer:
    """Scores are about as high as answers are right."""
    if not settings.max_calibration_error:
        return NotAsked("gate.max_calibration_error is 0")
    found = evidence.scorecard.served.calibration_error
    return Judged(
        outcome=outcome_of(found <= settings.max_calibration_error),
        observed=f"calibration error {found:.3f}",
        limit=f"at most {settings.max_calibration_error:.3f}",
        do="Add tune pictures, on which scores are calibrated; do not use scores as shares of right answers.",
    )


def keeps_log_loss(evidence: Evidence, settings: GateSettings) -> Answer:
    """Log loss stays below its limit."""
    if not settings.max_log_loss:
        return NotAsked("gate.max_log_loss is 0")
    found = evidence.scorecard.served.log_loss
    return Judged(
        outcome=outcome_of(found <= settings.max_log_loss),
        observed=f"log loss {found:.3f}",
        limit=f"at most {settings.max_log_loss:.3f}",
        do="Look at the worst mistakes of the report for wrong labels, or raise gate.max_log_loss.",
    )


def keeps_robustness(evidence: Evidence, settings: GateSettings) -> Answer:
    """Spoiled pictures cost no more balanced accuracy than is allowed, on average over corruptions."""
    if not settings.max_robustness_loss:
        return NotAsked("gate.max_robustness_loss is 0")
    limit = f"a loss of at most {settings.max_robustness_loss:.3f}"
    report = evidence.robustness
    if report is None:
        return Judged("unknown", "robustness was not examined", limit, "Examine it, or set gate.max_robustness_loss=0.")
    loss = report.clean_balanced_accuracy - report.mean_balanced_accuracy
    return Judged(
        outcome=outcome_of(loss <= settings.max_robustness_loss),
        observed=f"corruptions cost {loss:.3f} of {report.clean_balanced_accuracy:.3f} on {report.rows} pictures",
        limit=limit,
        do="Vary training pictures more, or raise gate.max_robustness_loss.",
        items=(report.worst,),
    )


def keeps_latency(evidence: Evidence, settings: GateSettings) -> Answer:
    """A picture takes no longer than is allowed."""
    if not settings.max_latency_ms:
        return NotAsked("gate.max_latency_ms is 0")
    found, limit = evidence.latency_ms, f"at most {settings.max_latency_ms:g} ms a picture on one thread"
    do = "Choose a smaller network or smaller pictures, allow compression, or raise gate.max_latency_ms."
    if found is None:
        return Judged("unknown", "latency was not measured", limit, do)
    return Judged(outcome_of(found <= settings.max_latency_ms), f"median {found:.2f} ms", limit, do)


def keeps_size(evidence: Evidence, settings: GateSettings) -> Answer:
    """The served model is no larger than is allowed."""
    if not settings.max_size_mb:
        return NotAsked("gate.max_size_mb is 0")
    limit, do = f"at most {settings.max_size_mb:g} MB", "Choose a smaller network, or raise gate.max_size_mb."
    if evidence.size_bytes is None:
        return Judged("unknown", "the model's size is not known", limit, do)
    found = evidence.size_bytes / _MB
    return Judged(outcome_of(found <= settings.max_size_mb), f"{found:.2f} MB", limit, do)


def is_plausible(evidence: Evidence, settings: GateSettings) -> Answer:
    """Nothing says that test pictures were learned from: not perfect on many, not far above tune."""
    found, rows = objective_of(evidence), evidence.scorecard.served.rows
    signs = []
    if found.value >= 1 and rows >= PERFECT_ROWS:
        signs.append(f"perfect on {rows} pictures")
    tune = evidence.tune_objective
    if tune is not None and found.low - tune > settings.max_gain_over_tune:
        signs.append(f"{tune:.3f} on tune")
    return Judged(
        outcome=outcome_of(not signs),
        observed=f"{evidence.objective_name.replace('_', ' ')} {found.value:.3f}, lower bound {found.low:.3f}",
        limit=f"not perfect on {PERFECT_ROWS} pictures or more, and within {settings.max_gain_over_tune:.3f} of tune",
        do="Look for copies of test pictures in train and for marks in the pictures that tell the class.",
        items=tuple(signs),
    )


def _slice_accuracies(evidence: Evidence) -> dict[str, float]:
    """Accuracy by slice: of all slices where the scorecard has details, else of the user's own columns."""
    details = evidence.scorecard.details
    if details is None:
        return {f"{s.column}={s.value}": s.accuracy for s in evidence.scorecard.slices if s.rows >= LEAST_SLICE_ROWS}
    known = ((s, s.accuracy.value) for s in details.slices if s.rows >= LEAST_SLICE_ROWS)
    return {f"{s.column}={s.value}": value for s, value in known if value is not None}
