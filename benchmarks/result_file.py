"""One result file a benchmark: figures, n, versions, machine, date."""

from __future__ import annotations

import importlib.metadata
import json
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from models.parallel import usable_cores
from models.version import __version__

RESULTS = Path(__file__).parent / "results"
_PACKAGES = ("torch", "onnxruntime", "prefect", "numpy", "pillow", "scikit-learn")


def write_result(name: str, n: int, figures: dict[str, Any]) -> Path:
    """Path of `benchmarks/results/NAME.json` after writing it."""
    record = {
        "name": name,
        "n": n,
        "figures": figures,
        "versions": {"sortline": __version__, **{p: importlib.metadata.version(p) for p in _PACKAGES}},
        "machine": f"{usable_cores()} cores, {platform.machine()}, {_processor()}",
        "python": platform.python_version(),
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
    }
    path = RESULTS / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(record, indent=1) + "\n")
    return path


def read_figures(name: str) -> dict[str, Any]:
    """Figures of the last result; empty where there is none."""
    path = RESULTS / f"{name}.json"
    return dict(json.loads(path.read_text())["figures"]) if path.is_file() else {}


def _processor() -> str:
    """Its name, and whether it adds products of bytes in one instruction: integers are as fast as that."""
    text = Path("/proc/cpuinfo").read_text()
    names = [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")]
    return f"{names[0] if names else 'unknown processor'} with{'' if 'vnni' in text else 'out'} VNNI"
