"""Pictures that are not to be learned from, by their digests: whatever they are called, they stay out."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Mapping
from pathlib import Path

from models.artifacts.durable import is_sha256
from models.artifacts.records import Exclusion
from models.artifacts.tables import EXCLUDED_KEY
from models.errors import DataError


def read_exclusions(path: str) -> frozenset[str]:
    """Digests that a list names; empty where there is no list.

    Args:
        path: of a CSV with a column sha256, or of a text with one digest a line.

    Raises:
        DataError: it does not read, or holds what is no digest.
    """
    if not path:
        return frozenset()
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
        first = text.partition("\n")[0]
        rows = [r["sha256"] for r in csv.DictReader(io.StringIO(text))] if "sha256" in first else text.split()
    except (OSError, UnicodeDecodeError, csv.Error, KeyError) as error:
        raise DataError(f"exclusion list {path} cannot be read ({error!r})", "digests", "Write it anew.") from error
    odd = [row for row in rows if not is_sha256(row or "")]
    if odd:
        raise DataError(
            f"exclusion list {path} holds {len(odd)} rows that are no sha256, first {odd[0]!r}",
            "a CSV with a column sha256, or one digest a line",
            "Mend the rows; the manifest and the predictions name digests.",
        )
    return frozenset(rows)


def list_digest(excluded: frozenset[str]) -> str:
    """Digest of a list, whatever its order and form."""
    return hashlib.sha256("\n".join(sorted(excluded)).encode()).hexdigest()


def exclusion_metadata(excluded: frozenset[str], found: int) -> dict[bytes, bytes]:
    """What a manifest tells of a list; nothing where there is none."""
    if not excluded:
        return {}
    record = Exclusion(list_sha256=list_digest(excluded), listed=len(excluded), found=found)
    return {EXCLUDED_KEY: record.model_dump_json().encode()}


def exclusion_of(metadata: Mapping[bytes, bytes] | None) -> Exclusion | None:
    """What the metadata of a manifest or a split tells of a list."""
    text = (metadata or {}).get(EXCLUDED_KEY)
    return None if text is None else Exclusion.model_validate(json.loads(text))
