"""Drift reports of a model, batch after batch: one file each, so that nothing has to be rewritten or locked."""

from __future__ import annotations

import hashlib
from pathlib import Path

from pydantic import ValidationError

from models.artifacts.durable import storage_errors, write_durably
from models.artifacts.records import DriftReport
from models.errors import ArtifactChanged

_KEY_LENGTH = 12


def remember(folder: Path, report: DriftReport) -> None:
    """Adds a report to the history in `folder`; the same batch, measured again, replaces what was said of it.

    A batch without rows is none.
    """
    if not report.rows or not report.at:
        return
    batch = ":".join((report.out, *report.plan_ids))
    key = hashlib.sha256(batch.encode("utf-8", "surrogateescape")).hexdigest()[:_KEY_LENGTH]
    stamp = report.at.replace(":", "").replace("+0000", "Z")
    write_durably(folder / f"{stamp}-{key}.json", report.model_dump_json(indent=1).encode())


def read_history(folder: Path) -> list[DriftReport]:
    """All reports, oldest batch first.

    Raises:
        ArtifactChanged: one of them does not read.
    """
    found = []
    for path in sorted(folder.glob("*.json")):
        with storage_errors(path, "read"):
            data = path.read_bytes()
        try:
            found.append(DriftReport.model_validate_json(data))
        except ValidationError as error:
            raise ArtifactChanged(f"{path} does not read", "a drift report", "Remove it.") from error
    return sorted(found, key=lambda report: report.at)
