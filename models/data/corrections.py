"""What people said of pictures: read from the page, from a table or from Label Studio, and kept beside the pictures."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from models.artifacts.durable import is_sha256, sha256_of, write_durably
from models.data.listing import CORRECTIONS_TABLE, list_entries
from models.errors import DataError

_COLUMNS = ("sha256", "label", "was", "by", "at", "path")
_NAME_DIGITS = 8


class Correction(NamedTuple):
    """One word on one picture.

    Attributes:
        sha256: of the picture's bytes: whatever it is called, it is meant.
        label: empty where the picture is not to be learned from.
        was: what it had been given, or what a model said.
        by: who said so.
        at: when, as they told.
        path: what it was called then.
    """

    sha256: str
    label: str
    was: str = ""
    by: str = ""
    at: str = ""
    path: str = ""

    @property
    def source(self) -> str:
        """Where the label comes from, as the manifest tells it."""
        return " ".join(filter(None, ("review", self.by, self.at[:10])))


def read_corrections(path: Path) -> dict[str, Correction]:
    """Corrections by the digest of the picture; of several about one picture the last counts.

    Args:
        path: JSON or CSV as the page saves it, or an export of Label Studio (JSON).

    Raises:
        DataError: it does not read, or a row names no digest.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        rows = list(_rows(text) if path.suffix.lower() == ".json" else csv.DictReader(io.StringIO(text)))
        found = [_correction(row) for row in rows]
    except (OSError, UnicodeDecodeError, ValueError, KeyError, TypeError, AttributeError, csv.Error) as error:
        raise DataError(
            f"corrections {path} cannot be read ({type(error).__name__}: {error})",
            "JSON or CSV with sha256 and label, as the review page saves it, or an export of Label Studio",
            "Save it again.",
        ) from error
    return {correction.sha256: correction for correction in found}


def known_corrections(folder: Path, more: str = "") -> dict[str, Correction]:
    """Corrections that hold for a folder: those that lie in it, and over them those of another file.

    Args:
        folder: the pictures.
        more: path of the other file; empty: there is none.
    """
    inside = folder / CORRECTIONS_TABLE
    kept = read_corrections(inside) if inside.is_file() else {}
    return {**kept, **(read_corrections(Path(more)) if more else {})}


def keep_corrections(folder: Path, corrections: Mapping[str, Correction]) -> int:
    """Number of corrections that now lie in a folder of pictures, where every scan of it reads them.

    Those that were there stay; a newer one about the same picture takes the place of the older.
    """
    kept = {**known_corrections(folder), **corrections}
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(_COLUMNS)
    table.writerows([getattr(kept[sha256], name) for name in _COLUMNS] for sha256 in sorted(kept))
    write_durably(folder / CORRECTIONS_TABLE, text.getvalue().encode())
    return len(kept)


def bring_pictures(source: Path, target: Path, corrections: Mapping[str, Correction]) -> int:
    """Number of corrected pictures copied from one folder to another, below a folder of their label.

    Pictures that are to be left out, and those that the target has under any name, are not copied.

    Raises:
        DataError: a label that cannot be the name of a folder.
    """
    wanted = {sha256: c for sha256, c in corrections.items() if c.label}
    odd = sorted({c.label for c in wanted.values() if "/" in c.label or c.label.startswith(".")})
    if odd:
        raise DataError(f"labels {', '.join(odd)}", "labels that can be names of folders", "Correct them.")
    there = {sha256 for _, sha256 in _digests(target)}
    copied = 0
    for path, sha256 in _digests(source):
        if sha256 in wanted and sha256 not in there:
            place = target / wanted[sha256].label / f"{sha256[:_NAME_DIGITS]}-{path.name}"
            write_durably(place, path.read_bytes())
            there.add(sha256)
            copied += 1
    return copied


def _digests(folder: Path) -> Iterable[tuple[Path, str]]:
    for entry in list_entries(folder):
        if entry.status is None:
            yield folder / entry.name, sha256_of(folder / entry.name)


def _rows(text: str) -> Iterable[Mapping[str, Any]]:
    """Rows of the page's JSON, or of tasks that Label Studio exports."""
    found = json.loads(text)
    if isinstance(found, dict):
        return list(found["corrections"])
    return [_of_task(task) for task in found if task.get("annotations")]


def _of_task(task: Mapping[str, Any]) -> Mapping[str, Any]:
    annotation = task["annotations"][-1]
    chosen = [c for r in annotation["result"] if r["type"] == "choices" for c in r["value"]["choices"]]
    who = annotation.get("completed_by", "")
    by = who.get("email", "") if isinstance(who, dict) else f"annotator {who}" if who != "" else ""
    data = task["data"]
    return {
        "sha256": data["sha256"],
        "path": data.get("path", ""),
        "was": data.get("suggested_label", ""),
        "label": chosen[0] if chosen else "",
        "by": by,
        "at": annotation.get("created_at", ""),
    }


def _correction(row: Mapping[str, Any]) -> Correction:
    found = Correction(**{name: str(row.get(name) or "").strip() for name in Correction._fields})
    if not is_sha256(found.sha256):
        raise ValueError(f"sha256 {found.sha256!r}")
    return found
