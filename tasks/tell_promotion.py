"""Tells what became of an accepted bundle: to a terminal that listens, and in the Prefect UI."""

from __future__ import annotations

from prefect.artifacts import create_markdown_artifact

from models.serving.bundle import Bundle
from tasks.events import CANDIDATE_WAITS, CHAMPION_CHANGED, tell_event
from tasks.progress import progress_lines
from validation.verdicts import Promotion

_SHOWN_DIGITS = 12


def tell_promotion(bundle: Bundle, promotion: Promotion, *, is_new: bool) -> None:
    """One line, and the same as an artifact of the run; an event, unless the bundle was champion before."""
    line = promotion_line(bundle.card.name, bundle.sha256, promotion)
    progress_lines()(line)
    create_markdown_artifact(line, key=f"promotion-{bundle.card.name}", description="What became of the bundle")
    if is_new:
        event = CHAMPION_CHANGED if promotion == "champion" else CANDIDATE_WAITS
        tell_event(event, bundle.card.name, {"bundle_sha256": bundle.sha256})


def promotion_line(name: str, bundle_sha256: str, promotion: Promotion) -> str:
    """What became of a bundle, and what to do where it waits."""
    digits = bundle_sha256[:_SHOWN_DIGITS]
    if promotion == "champion":
        return f"{digits} is champion of {name}."
    return (
        f"{digits} of {name} waits for a person: run `sortline models approve {name} --bundle {digits}`, "
        f"or the flow approve-candidate with the same bundle."
    )
