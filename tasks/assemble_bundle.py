"""Puts a candidate's files into one folder."""

from __future__ import annotations

from prefect import task

from models.artifacts.records import Scorecard
from models.artifacts.ref import ArtifactRef, open_checked, read_record
from models.artifacts.tables import EVALUATION, GOLDEN, decode_table
from models.artifacts.workspace import Workspace
from models.reports.model_card import model_page
from models.serving import bundle
from models.serving.picture_scorer import card_of
from models.serving.registry import Registry


# Not cached: it is cheap, and writing it again mends a bundle that was damaged.
@task(name="assemble-bundle")
def assemble_bundle(
    model: ArtifactRef,
    served: ArtifactRef,
    golden: ArtifactRef,
    scorecard: ArtifactRef,
    evaluation: ArtifactRef,
    workspace: Workspace,
) -> ArtifactRef:
    """Bundle of a candidate; the ref is its manifest, which holds the digest of every file."""
    onnx_bytes, numbers = open_checked(served), read_record(scorecard, Scorecard)
    parts = bundle.BundleParts(
        onnx_bytes,
        open_checked(model),
        card_of(onnx_bytes),
        numbers,
        decode_table(open_checked(evaluation), EVALUATION),
        decode_table(open_checked(golden), GOLDEN),
    )
    target = Registry(workspace).bundles_dir(parts.card.name)
    folder, digest = bundle.write_bundle(target, parts, model_page(parts.card, numbers))
    return ArtifactRef(kind="bundle", path=folder / bundle.MANIFEST_FILE, sha256=digest, rows=1)
