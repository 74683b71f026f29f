"""Pictures sorted into one folder a class, by links or copies; what has no class lies in folders of its own."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from models.artifacts.durable import make_folder, storage_errors
from models.artifacts.places import require_disk
from models.data.listing import file_name, require_apart
from models.errors import SettingsError
from models.serving.commit import OutputStore
from models.serving.reader import prediction_tables

Way = Literal["link", "hardlink", "copy"]
ABSTAINED = "_abstained"
_COLUMNS = ("path", "path_bytes", "status", "label", "abstained")
# A name of a file may be so long, in bytes, on the file systems that are common.
_MOST_BYTES = 255
_UNSAFE = {ord("/"): "%2F", ord("\0"): "%00", ord("%"): "%25", ord("\\"): "%5C"}


def sort_into_folders(store: OutputStore, folder: Path, target: Path, way: Way) -> dict[str, int]:
    """Number of pictures in every folder below `target`, by the newest row of every path.

    Names keep their folders with `/` written as %2F, so that no two pictures meet. What is there stays; a picture that
    has another class than in an earlier call leaves its old folder.

    Args:
        store: the output.
        folder: of the pictures.
        target: where to; outside of `folder`.
        way: symbolic links, hard links or copies.

    Raises:
        SettingsError: `target` lies inside the pictures, or holds what this did not put there.
        StorageError: a link or copy cannot be made.
    """
    for path in (folder, target):
        require_disk(path, "where links can be made")
    require_apart(folder, target)
    _require_own(target)
    make_folder(target)
    (target / _MARK).touch()
    counts: Counter[str] = Counter()
    for table in prediction_tables(store, _COLUMNS):
        for row in table.to_pylist():
            source = Path(os.path.join(folder.resolve(), file_name(row)))  # noqa: PTH118 - keeps surrogates
            if row["status"] == "ignored" or not os.path.lexists(source):
                continue
            place = place_of(row)
            _put(source, target, (place, _flat_name(file_name(row))), way)
            counts[place] += 1
    return dict(sorted(counts.items()))


_MARK = ".sortline-folders"


def place_of(row: dict[str, Any]) -> str:
    """Name of the folder for a row: its class made safe, or why it has none, behind an underscore."""
    if row["status"] != "ok":
        return f"_{row['status']}"
    if row["abstained"]:
        return ABSTAINED
    return safe_folder(row["label"])


def safe_folder(label: str) -> str:
    """A class as the name of one folder that is never a path, hidden, or one of our own.

    Example:
        >>> safe_folder("a/b"), safe_folder(".."), safe_folder("_ok"), safe_folder("50 %")
        ('a%2Fb', '%2E.', '%5Fok', '50 %25')
    """
    text = label.translate(_UNSAFE) or "%"
    first = {".": "%2E", "_": "%5F"}.get(text[0])
    return _shortened(text if first is None else first + text[1:])


def _flat_name(name: str) -> str:
    text = name.translate(_UNSAFE)
    return _shortened("%2E" + text[1:] if text.startswith(".") else text)


def _shortened(text: str) -> str:
    """A text as it is, or, where a file system would refuse it, its end behind a digest."""
    raw = os.fsencode(text)
    if len(raw) <= _MOST_BYTES:
        return text
    import hashlib  # noqa: PLC0415 - for names that hardly ever come

    digest = hashlib.sha256(raw).hexdigest()[:16]
    return f"{digest}-{os.fsdecode(raw[-200:])}"


def _put(source: Path, target: Path, place: tuple[str, str], way: Way) -> None:
    """A picture in its folder, and nowhere else below the target."""
    wanted = target / place[0] / place[1]
    for old in target.iterdir():
        if old.name != place[0] and old.is_dir() and os.path.lexists(old / place[1]):
            (old / place[1]).unlink()
    if os.path.lexists(wanted):
        if way == "link" and wanted.is_symlink() and wanted.readlink() == source:
            return
        wanted.unlink()
    make_folder(wanted.parent)
    makers: dict[Way, Callable[[], object]] = {
        "link": lambda: wanted.symlink_to(source),
        "hardlink": lambda: wanted.hardlink_to(source),
        "copy": lambda: shutil.copy2(source, wanted, follow_symlinks=False),
    }
    with storage_errors(wanted, "made"):
        makers[way]()


def _require_own(target: Path) -> None:
    if target.exists() and not (target / _MARK).exists() and any(target.iterdir()):
        raise SettingsError(
            f"{target} holds other files",
            "a new folder, or one that this command made",
            "Choose another place: what a picture's class no longer is gets removed there.",
        )
