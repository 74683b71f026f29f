"""Chooses the pictures by which a machine shows that it answers as the one that trained."""

from __future__ import annotations

from pathlib import Path

from prefect import task

from models.artifacts.ref import ArtifactRef, open_checked, seal
from models.artifacts.tables import SPLIT, decode_table, encode_table
from models.artifacts.workspace import Workspace
from models.data.limits import NO_LIMITS
from models.serving import golden
from models.serving.picture_scorer import PictureScorer
from tasks.caching import SEALED


@task(name="choose-golden", cache_policy=SEALED, persist_result=True, result_serializer="json")
def choose_golden(folder: Path, served: ArtifactRef, split: ArtifactRef, workspace: Workspace) -> ArtifactRef:
    """Table GOLDEN: real pictures in odd sizes, modes and formats, answered by the served model."""
    from models.learning.export_checkpoint import odd_files  # torch takes seconds to import

    scorer, rows = PictureScorer(open_checked(served), NO_LIMITS), decode_table(open_checked(split), SPLIT)
    table = golden.golden_table(odd_files(folder, rows, scorer.card, golden.GOLDEN_PICTURES), scorer)
    return seal(workspace, "golden", encode_table(table), suffix=".parquet", rows=table.num_rows)
