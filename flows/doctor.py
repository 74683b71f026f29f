"""Is this machine fit: what nightly runs stumble over, asked while somebody is looking."""

from __future__ import annotations

import importlib.metadata
import io
import os
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnxruntime as ort
from PIL import Image

from flows.answers import TRAINING_MODULES
from models.artifacts.workspace import Workspace
from models.data.decode import decode_rgb
from models.data.sniff import FORMATS
from models.errors import UnreadableImage
from models.parallel import usable_cores

_LEAST_FREE_BYTES = 2 * 1024**3
_VERSIONS = ("prefect", "onnxruntime", "pyarrow", "pandas", "pillow", "great_expectations")


class Check(NamedTuple):
    """One thing that was looked at."""

    name: str
    fit: bool
    found: str


def examine(workspace: Workspace) -> list[Check]:
    """Every check on this machine and workspace."""
    return [_python(), _versions(), _training(), _decoder(), _providers(), _cores(), _disk(workspace.root)]


def decodes(format_name: str) -> bool:
    """Whether a known picture written in a format comes back as it was, within what the format loses."""
    pixels = np.full((16, 16, 3), (200, 60, 20), dtype=np.uint8)
    buffer = io.BytesIO()
    try:
        Image.fromarray(pixels).save(buffer, format_name)
        found, _, _ = decode_rgb(buffer.getvalue(), 10_000)
    except (OSError, KeyError, UnreadableImage):
        return False
    return bool(np.abs(np.asarray(found).astype(int) - pixels).max() <= 12)


def _python() -> Check:
    return Check("python", sys.version_info >= (3, 11), sys.version.split()[0])


def _versions() -> Check:
    found = {name: importlib.metadata.version(name) for name in _VERSIONS}
    return Check("packages", True, ", ".join(f"{name} {version}" for name, version in found.items()))


def _training() -> Check:
    missing = [name for name in TRAINING_MODULES if find_spec(name) is None]
    text = f"scoring only ({', '.join(missing)} missing)" if missing else "training and scoring"
    return Check("installed for", True, text)


def _decoder() -> Check:
    broken = [name for name in FORMATS if not decodes(name)]
    return Check("decoder self-test", not broken, f"fails: {', '.join(broken)}" if broken else ", ".join(FORMATS))


def _providers() -> Check:
    found = ort.get_available_providers()
    return Check("onnxruntime providers", "CPUExecutionProvider" in found, ", ".join(found))


def _cores() -> Check:
    return Check("cores", True, f"{usable_cores()} usable of {os.cpu_count()}")


def _disk(root: Path) -> Check:
    free = shutil.disk_usage(root).free
    return Check("disk", free >= _LEAST_FREE_BYTES, f"{free / 1024**3:.1f} GiB free at {root}, which is writable")
