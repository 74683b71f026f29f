"""Judges a served model on spoiled pictures."""

from __future__ import annotations

from pathlib import Path

from prefect import task

from models.artifacts.ref import ArtifactRef, open_checked, seal_record
from models.artifacts.tables import SPLIT, decode_table
from models.artifacts.workspace import Workspace
from models.judging.robustness import RobustnessSettings
from tasks.caching import SEALED
from tasks.progress import progress_of


@task(name="examine-robustness", cache_policy=SEALED, persist_result=True, result_serializer="json")
def examine_robustness(
    folder: Path,
    model: ArtifactRef,
    checkpoint: ArtifactRef,
    split: ArtifactRef,
    settings: RobustnessSettings,
    workspace: Workspace,
) -> ArtifactRef | None:
    """The served model on spoiled test pictures; none where that is off, or pictures have several labels."""
    from models.learning import examine_attacks as attacks  # torch takes seconds to import

    rows, judged = decode_table(open_checked(split), SPLIT), (open_checked(model), open_checked(checkpoint))
    progress = progress_of("examine robustness")
    report = attacks.examine_with_attacks(folder, rows, attacks.Model(*judged), settings, on_progress=progress)
    return seal_record(workspace, "robustness", report, rows=report.rows) if report else None
