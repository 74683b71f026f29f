"""A verdict with the rows behind it, and how both are kept."""

from __future__ import annotations

from typing import NamedTuple

import pyarrow as pa

from models.artifacts.records import Verdict
from models.artifacts.ref import ARTIFACT_NAME_LENGTH, ArtifactRef, open_checked, seal, seal_record
from models.artifacts.tables import OFFENDERS, decode_table, encode_table
from models.artifacts.workspace import Workspace


class Judgement(NamedTuple):
    """A verdict, and table OFFENDERS: every row that broke a rule, by rule and picture."""

    verdict: Verdict
    offenders: pa.Table


def seal_judgement(workspace: Workspace, judgement: Judgement) -> ArtifactRef:
    """Address of a verdict, beside which the rows that broke its rules are sealed."""
    rows = judgement.offenders
    offenders = seal(workspace, "offenders", encode_table(rows), suffix=".parquet", rows=rows.num_rows)
    verdict = judgement.verdict.model_copy(update={"offenders_sha256": offenders.sha256})
    return seal_record(workspace, "verdict", verdict, rows=len(verdict.findings))


def open_offenders(workspace: Workspace, verdict: Verdict) -> pa.Table:
    """Table OFFENDERS of a sealed verdict; empty where it has none."""
    if not verdict.offenders_sha256:
        return OFFENDERS.empty_table()
    path = workspace.artifact_dir("offenders") / f"{verdict.offenders_sha256[:ARTIFACT_NAME_LENGTH]}.parquet"
    ref = ArtifactRef(kind="offenders", path=path, sha256=verdict.offenders_sha256, rows=0)
    return decode_table(open_checked(ref), OFFENDERS)
