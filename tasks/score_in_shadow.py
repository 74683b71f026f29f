"""Has a candidate answer what the champion has answered in a run."""

from __future__ import annotations

from prefect import task
from prefect.artifacts import create_table_artifact

from models.artifacts.judging_records import ShadowReport
from models.artifacts.places import place_of
from models.artifacts.records import ScoreSummary
from models.artifacts.ref import ArtifactRef, read_record, seal_record
from models.artifacts.workspace import Workspace
from models.reports.shadow import shadow_rows, write_shadow_page
from models.serving import shadow
from models.serving.reader import scored_batch
from models.serving.registry import Registry
from models.serving.score import ScoringSettings
from tasks.artifacts import escape_markdown
from tasks.progress import progress_of


# Not cached: what is compared are files that may have changed since.
@task(name="score-in-shadow")
def score_in_shadow(
    folder: str,
    sha256: str,
    summary: ArtifactRef,
    settings: shadow.ShadowSettings,
    scoring: ScoringSettings,
    workspace: Workspace,
) -> ArtifactRef:
    """The candidate beside the champion; a candidate that fails is a report too."""
    scored = read_record(summary, ScoreSummary)
    pictures = place_of(folder)
    run, progress = (pictures, scored_batch(scored)), progress_of("score in shadow")
    report = shadow.shadow_beside(Registry(workspace), scored.model_name, sha256, run, (settings, scoring), progress)
    write_shadow_page(workspace.reports_dir, scored.model_name, pictures, report)
    show_shadow(scored.model_name, report)
    return seal_record(workspace, "shadow", report, rows=report.rows)


def show_shadow(name: str, report: ShadowReport) -> None:
    """One table row a number."""
    rows = [{"": title, "value": escape_markdown(text)} for title, text in shadow_rows(report)]
    create_table_artifact(key=f"shadow-{name}", table=rows, description="The candidate beside the champion")
