"""Shows in the Prefect UI what a pretraining came to."""

from __future__ import annotations

from prefect.artifacts import create_table_artifact

from models.artifacts.pretrain_records import PretrainReport
from models.artifacts.ref import ArtifactRef, read_record
from tasks.artifacts import escape_markdown


def tell_pretraining(report: ArtifactRef) -> None:
    """Scores as a table, above it what to type."""
    found = read_record(report, PretrainReport)
    settings = " ".join(f"--set {text}" for text in found.use)
    text = escape_markdown(f"To train from it: {settings}. Page: {found.page}")
    rows = [score.model_dump(mode="json") for score in found.scores]
    create_table_artifact(rows, key=f"pretrain-{found.name}", description=text)
