"""Divides a manifest."""

from __future__ import annotations

from prefect import task

from models.artifacts.ref import ArtifactRef, open_checked, seal
from models.artifacts.tables import MANIFEST, SPLIT, decode_table, encode_table
from models.artifacts.workspace import Workspace
from models.data import split
from tasks.caching import SEALED


@task(name="assign-splits", cache_policy=SEALED, persist_result=True, result_serializer="json")
def assign_splits(
    manifest: ArtifactRef, settings: split.SplitSettings, earlier: ArtifactRef | None, workspace: Workspace
) -> ArtifactRef:
    """Split of the readable, labelled pictures into train, tune and test; those that had one keep it."""
    before = decode_table(open_checked(earlier), SPLIT) if earlier else None
    table = split.assign_splits(decode_table(open_checked(manifest), MANIFEST), settings, before)
    return seal(workspace, "split", encode_table(table), suffix=".parquet", rows=table.num_rows)
