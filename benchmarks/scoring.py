"""Scoring end to end: against the bound of its own stages, and against timm's loader and Ultralytics' predict.

One run, one machine, the same files, by turns. Outputs are compared first: torch and the bundle have to agree on every
picture, or nothing is measured.
"""

from __future__ import annotations

import argparse
import io
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import elpv_dataset.utils
import numpy as np
from PIL import Image

from benchmarks.result_file import write_result
from benchmarks.scoring_bundles import NETWORKS, Made, make, write_labelled
from models.artifacts.workspace import Workspace
from models.serving.bench import measure_folder
from models.serving.bundle import read_bundle
from models.serving.commit import OutputStore
from models.serving.score import ScoringSettings

ROUNDS = 3
# Some batches of timm's default, or its workers would have nothing to do side by side.
PICTURES = {"png": 768, "jpeg": 512}
BENCH_PICTURES = 400
JPEG_PX, JPEG_QUALITY = 1000, 90
# Of timm: what its script does by itself, and what was fastest of these on a sample.
TIMM_DEFAULT = (256, 2, "contiguous")
TIMM_OPTIONS = [(batch, 2, layout) for batch in (16, 64) for layout in ("contiguous", "channels_last")]
SAMPLE = 48
# Multiply-adds, twice: operations of a picture, as Ultralytics counts them.
GIGAFLOPS = {"lite0": 0.81, "resnet18": 3.64}
ULTRALYTICS_DEFAULT, ULTRALYTICS_OPTIONS = 1, (8, 32)
_AGREE = 1e-3


class Rival(NamedTuple):
    """One way to score: how many pictures a second a call of it reaches."""

    name: str
    rate: Callable[[], float]


def write_pictures(root: Path) -> dict[str, Path]:
    """ELPV's PNGs as they are, and some of them as large JPEGs."""
    source = Path(elpv_dataset.utils.__file__).parent / "data" / "images"
    folders = {kind: root / kind for kind in PICTURES}
    for kind, folder in folders.items():
        folder.mkdir(parents=True)
        for path in sorted(source.glob("*.png"))[: PICTURES[kind]]:
            if kind == "png":
                shutil.copy(path, folder / path.name)
                continue
            large = Image.open(path).convert("RGB").resize((JPEG_PX, JPEG_PX), Image.Resampling.BICUBIC)
            buffer = io.BytesIO()
            large.save(buffer, "JPEG", quality=JPEG_QUALITY)
            (folder / f"{path.stem}.jpg").write_bytes(buffer.getvalue())
    return folders


class Wish(NamedTuple):
    """What is measured: against which environment, the integers of which demo, and how often."""

    ultralytics: Path | None
    demo: Path | None
    rounds: int


def measure(root: Path, wish: Wish) -> dict[str, Any]:
    """Figures by network and kind of picture."""
    pictures, workspace = write_pictures(root / "pictures"), Workspace.open(root / "workspace")
    labelled = write_labelled(pictures["png"], root / "labelled", 80)
    found: dict[str, Any] = {}
    for name in NETWORKS:
        made = make(name, labelled, workspace)
        for kind, folder in pictures.items():
            place = root / f"{name}-{kind}"
            place.mkdir()
            found[f"{name}, {kind}"] = _compared(name, made, folder, place, wish)
            sys.stderr.write(f"{name}, {kind}: {json.dumps(found[f'{name}, {kind}'])}\n")
    return found


def _compared(name: str, made: Made, folder: Path, place: Path, wish: Wish) -> dict[str, Any]:
    ultralytics, rounds = wish.ultralytics, wish.rounds
    largest = _require_equal(made, folder, place)
    best = _best_timm(made, folder, place)
    rivals = [
        Rival("ours", lambda: _ours(made, folder, place)),
        Rival("timm_default", lambda: _timm(made, folder, place, TIMM_DEFAULT)),
        Rival("timm_best", lambda: _timm(made, folder, place, best)),
    ]
    gigaflops = None
    if ultralytics is not None:
        width, gigaflops = _width(ultralytics, GIGAFLOPS[name])
        python, sample = ultralytics, place / "sample"
        batch = max(ULTRALYTICS_OPTIONS, key=lambda b: _ultralytics(python, sample, b, width))
        rivals += [
            Rival("ultralytics_default", lambda: _ultralytics(python, folder, ULTRALYTICS_DEFAULT, width)),
            Rival("ultralytics_best", lambda: _ultralytics(python, folder, batch, width)),
        ]
    integers = _integers(wish.demo) if name == "lite0" and wish.demo else None
    if integers is not None:
        rivals.append(Rival("ours_in_integers", lambda: _ours(integers, folder, place)))
    rates: dict[str, list[float]] = {rival.name: [] for rival in rivals}
    for _ in range(rounds):
        for rival in rivals:
            rates[rival.name].append(rival.rate())
    report = measure_folder(folder, read_bundle(made.bundle), ScoringSettings(), BENCH_PICTURES)
    ratios = {
        f"over_{rival.name}": round(statistics.median(_ratios(rates["ours"], rates[rival.name])), 2)
        for rival in rivals[1:]
        if rival.name != "ours_in_integers"
    }
    if integers is not None:
        gained = _ratios(rates["ours_in_integers"], rates["ours"])
        ratios["integers_over_ours"] = round(statistics.median(gained), 2)
    return {
        "largest_difference": largest,
        "per_s": {key: round(statistics.median(values), 1) for key, values in rates.items()},
        **ratios,
        "timm_best_is": list(best),
        "ultralytics_gigaflops": gigaflops,
        "reached": round(report.reached, 3),
        "bound_per_s": round(report.bound_per_s, 1),
        "scaling": round(report.scaling, 2),
        "stage_ms": {stage: round(ms, 2) for stage, ms in report.stage_ms.items()},
    }


def _require_equal(made: Made, folder: Path, place: Path) -> float:
    """Largest difference of a probability between torch and the bundle, over all pictures."""
    _ours(made, folder, place)
    _timm(made, folder, place, TIMM_DEFAULT)
    torch_says = json.loads((place / "timm.json").read_text())
    rows = OutputStore(place / "out").read().to_pylist()
    largest = max(float(np.abs(np.subtract(torch_says[row["path"]], row["probabilities"])).max()) for row in rows)
    if len(rows) != len(torch_says) or not largest <= _AGREE:
        raise SystemExit(f"torch and the bundle differ by {largest} on {len(rows)} and {len(torch_says)} pictures")
    return largest


def _integers(demo: Path) -> Made | None:
    """The demo's bundle, where it serves integers on this machine."""
    (bundle, *_) = sorted(demo.glob("models/*lite0*/bundles/*"))
    return Made(bundle, bundle) if read_bundle(bundle).card.variant == "int8" else None


def _ours(made: Made, folder: Path, place: Path) -> float:
    shutil.rmtree(place / "out", ignore_errors=True)
    return float(_said("benchmarks.score_run", made.bundle, folder, place / "out"))


def _timm(made: Made, folder: Path, place: Path, options: tuple[int, int, str]) -> float:
    return float(_said("benchmarks.timm_run", made.checkpoint, folder, *options, place / "timm.json"))


def _best_timm(made: Made, folder: Path, place: Path) -> tuple[int, int, str]:
    sample = place / "sample"
    sample.mkdir()
    for path in sorted(folder.iterdir())[:SAMPLE]:
        shutil.copy(path, sample / path.name)
    return max(TIMM_OPTIONS, key=lambda options: _timm(made, sample, place, options))


def _ultralytics(python: Path, folder: Path, batch: int, width: float) -> float:
    return float(_said_by(python, str(folder), str(batch), str(width)))


def _width(python: Path, gigaflops: float) -> tuple[float, float]:
    """How wide Ultralytics' network has to be for so many operations a picture, and how many it then has."""
    width, found = _said_by(python, "width", str(gigaflops)).split()
    return float(width), float(found)


def _said_by(python: Path, *arguments: str) -> str:
    program = Path(__file__).with_name("ultralytics_run.py")
    said = subprocess.run([str(python), str(program), *arguments], capture_output=True, text=True, check=False)
    if said.returncode:
        raise SystemExit(said.stderr)
    return said.stdout.splitlines()[-1]


def _said(module: str, *arguments: object) -> str:
    done = subprocess.run(
        [sys.executable, "-m", module, *map(str, arguments)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    return done.stdout.splitlines()[-1]


def _ratios(ours: list[float], theirs: list[float]) -> list[float]:
    return [left / right for left, right in zip(ours, theirs, strict=True)]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ultralytics", type=Path, help="python of an environment that has it")
    parser.add_argument("--demo", type=Path, help="workspace of a demo that ran, for its integers")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder_name:
        figures = measure(Path(folder_name), Wish(given.ultralytics, given.demo, given.rounds))
    sys.stdout.write(f"{write_result('scoring', given.rounds, figures)}\n")
