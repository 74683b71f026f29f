"""From nothing to the first scored picture: a new process opens a bundle and scores one file, without torch."""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.result_file import write_result

RUNS = 9
# Says what it took by itself, so that the start of the interpreter can be told from the rest.
PROGRAM = """
import sys, time
started = time.perf_counter()
from pathlib import Path
from models.data.limits import DecodeLimits
from models.serving.bundle import read_bundle
from models.serving.picture_scorer import PictureScorer
imported = time.perf_counter()
bundle = read_bundle(Path(sys.argv[1]))
opened = time.perf_counter()
scored = PictureScorer(bundle.onnx_bytes, DecodeLimits()).score(sys.argv[2])
done = time.perf_counter()
assert scored.status == "ok" and "torch" not in sys.modules
print(imported - started, opened - imported, done - opened)
"""


def measure(bundle: Path, picture: Path) -> dict[str, float]:
    """Medians in seconds: the whole process, and its parts."""
    whole, parts = [], []
    for _ in range(RUNS):
        started = time.perf_counter()
        command = [sys.executable, "-c", PROGRAM, str(bundle), str(picture)]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        whole.append(time.perf_counter() - started)
        parts.append([float(text) for text in said.split()])
    imports, opening, first = (statistics.median(column) for column in zip(*parts, strict=True))
    return {
        "whole_s": round(statistics.median(whole), 3),
        "slowest_s": round(max(whole), 3),
        "imports_s": round(imports, 3),
        "opening_s": round(opening, 3),
        "first_picture_s": round(first, 3),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workspace", type=Path, help="of a demo that ran")
    place = parser.parse_args().workspace
    (found, *_) = sorted(place.glob("models/*/bundles/*"))
    (example, *_) = sorted(place.glob("demo/cells/**/*.png"))
    sys.stdout.write(f"{write_result('cold_start', RUNS, measure(found, example))}\n")
