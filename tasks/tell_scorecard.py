"""Shows a scorecard in the Prefect UI: headline numbers with intervals, classes, and the worst mistakes."""

from __future__ import annotations

import base64

from prefect.artifacts import create_markdown_artifact

from models.artifacts.records import Interval, Scorecard
from models.artifacts.ref import ArtifactRef, read_record
from models.reports.scorecard_picture import scorecard_picture
from tasks.artifacts import escape_markdown

# An artifact lies in the server's database: what is larger belongs into the report.
MOST_BYTES = 200_000
_SHOWN_MISTAKES = 10


def tell_scorecard(scorecard: ArtifactRef, report: ArtifactRef) -> None:
    """One page of Markdown; the report says the rest."""
    told = read_record(scorecard, Scorecard)
    text = scorecard_markdown(told, str(report.path))
    create_markdown_artifact(text, key=f"scorecard-{told.model_name}", description="The model on its test pictures")


def scorecard_markdown(told: Scorecard, report_path: str) -> str:
    """Headline numbers, a picture of the classes, their table and the worst mistakes, in at most 200 kB."""
    served = told.served
    headline = [("macro-F1", served.macro_f1), ("balanced accuracy", served.balanced_accuracy)]
    lines = [f"# {told.model_name}: {served.rows} test pictures", "", "| | | 95 % interval |", "|---|---|---|"]
    lines += [_interval_row(title, value) for title, value in [*headline, ("accuracy", served.accuracy)]]
    picture = base64.b64encode(scorecard_picture(served)).decode()
    lines += ["", f"![recall and precision](data:image/png;base64,{picture})", ""]
    lines += ["| class | test pictures | recall | precision | F1 |", "|---|---|---|---|---|"]
    lines += [
        f"| {escape_markdown(c.label)} | {c.support} | {_number(c.recall)} | {_number(c.precision)} | {_number(c.f1)} |"
        for c in served.per_class
    ]
    lines += ["", "## Worst mistakes", "", "| picture | is | taken for | score |", "|---|---|---|---|"]
    lines += [
        f"| {escape_markdown(m.path)} | {escape_markdown(m.label)} | {escape_markdown(m.predicted)} | {m.score:.3f} |"
        for m in told.worst_mistakes[:_SHOWN_MISTAKES]
    ]
    lines += ["", f"The whole report: `{report_path}`"]
    text = "\n".join(lines)
    if len(text.encode()) <= MOST_BYTES:
        return text
    return "\n".join([*lines[: 4 + len(headline) + 1], "", f"Too long to be shown here: `{report_path}`"])


def _interval_row(title: str, value: Interval) -> str:
    return f"| {title} | {value.value:.3f} | {value.low:.3f} to {value.high:.3f} |"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
