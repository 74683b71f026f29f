"""The demo's pictures: solar cells from the ELPV data set, as a labelled folder and an unlabelled inbox.

The data set comes from the package `elpv-dataset` (CC BY-NC-SA 4.0: for demos and measurements, never vendored).
"""

from __future__ import annotations

import csv
import hashlib
import io
import struct
import zlib
from pathlib import Path
from typing import NamedTuple

from models.artifacts.durable import write_durably
from models.data.listing import SLICES_TABLE
from models.errors import ArtifactMissing

LICENCE_NOTICE = (
    "Solar cell pictures of the ELPV data set (package elpv-dataset), CC BY-NC-SA 4.0.\n"
    "Deitsch et al. 2019, Automatic classification of defective photovoltaic module cells.\n"
)
INBOX_SHARE = 0.1
_WRITTEN = "written.txt"


class DemoFolders(NamedTuple):
    """Where the demo's pictures lie."""

    labelled: Path
    inbox: Path


def write_elpv_folders(root: Path) -> DemoFolders:
    """Both folders, written once; a later call finds them as they are.

    Raises:
        ArtifactMissing: the package `elpv-dataset` is not installed.
    """
    folders = DemoFolders(root / "cells", root / "inbox")
    if (root / _WRITTEN).exists():
        return folders
    source = _package_folder()
    slices = io.StringIO()
    table = csv.writer(slices, lineterminator="\n")
    table.writerow(["path", "cell_type"])
    for line in (source / "labels.csv").read_text().splitlines():
        name, defect, cell_type = line.split()
        data = (source / name).read_bytes()
        target = Path(name).name
        if _belongs_to_inbox(data):
            _write(folders.inbox / target, data)
        else:
            label = f"defect-{round(float(defect) * 100):03}"
            _write(folders.labelled / label / target, data)
            table.writerow([f"{label}/{target}", cell_type])
    _write(folders.labelled / SLICES_TABLE, slices.getvalue().encode())
    for name, data in damaged_files((source / "images" / "cell0001.png").read_bytes()).items():
        _write(folders.inbox / name, data)
    write_durably(root / "LICENCE.txt", LICENCE_NOTICE.encode())
    write_durably(root / _WRITTEN, b"whole\n")
    return folders


def damaged_files(picture: bytes) -> dict[str, bytes]:
    """Files that no scorer may trip over, by name, made from one good PNG."""
    middle = len(picture) // 2
    flipped = picture[:middle] + bytes([picture[middle] ^ 0xFF]) + picture[middle + 1 :]
    return {
        "damaged-truncated.png": picture[:middle],
        "damaged-flipped-byte.png": flipped,
        "damaged-empty.png": b"",
        "damaged-web-page.jpg": b"<html><body>502 Bad Gateway</body></html>",
        "damaged-bomb.png": png_header(20_000, 20_000) + zlib.compress(bytes(1000)),
        "notes.txt": b"line 3 was stopped at 02:10\n",
    }


def png_header(width_px: int, height_px: int) -> bytes:
    """Signature and header chunk of a grey PNG of any size."""
    body = b"IHDR" + struct.pack(">IIBBBBB", width_px, height_px, 8, 0, 0, 0, 0)
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", 1000) + b"IDAT"


def _write(path: Path, data: bytes) -> None:
    """A plain write: the marker that is written last says whether all of them are there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _belongs_to_inbox(data: bytes) -> bool:
    position = int.from_bytes(hashlib.sha256(b"inbox:" + hashlib.sha256(data).digest()).digest()[:8], "big")
    return position / 2**64 < INBOX_SHARE


def _package_folder() -> Path:
    try:
        import elpv_dataset  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ArtifactMissing(
            "package elpv-dataset is not installed", "the demo's pictures", "Run pip install 'sortline[demo]'."
        ) from error
    return Path(elpv_dataset.__file__).parent / "data"
