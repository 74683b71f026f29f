"""What decoding JPEGs at a smaller scale costs in accuracy, and gains in time: solar cells as photographs of 1000 px.

The scale is part of the contract, so a model is trained, judged and served with it; what is told last is what would
happen to a model that was trained without it and served with it.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.cells import Cells, divide_cells, write_cells
from benchmarks.chain import Judged, train_and_judge
from benchmarks.result_file import write_result
from models.artifacts.workspace import Workspace
from models.data.decode import decode_rgb
from models.data.listing import file_name
from models.data.preprocess import JpegScale, Preprocess
from models.learning.training_settings import TrainingSettings
from models.serving.picture_scorer import card_of
from models.serving.session import ImageSession

SIDE_PX, QUALITY, DIVISIONS = 1000, 90, 3
SCALES: tuple[JpegScale, ...] = ("full", "at_least_2x")
TIMED, ROUNDS = 200, 5
_LIMIT = 10**9


def write_photographs(root: Path) -> Cells:
    """All cells as JPEGs of that size."""
    cells = write_cells(root / "cells")
    folder = root / "photographs"
    folder.mkdir()
    names = [f"{Path(name).stem}.jpg" for name in cells.names]
    for small, name in zip(cells.names, names, strict=True):
        picture = Image.open(cells.folder / small).convert("RGB")
        large = picture.resize((SIDE_PX, SIDE_PX), Image.Resampling.BICUBIC)
        large.save(folder / name, "JPEG", quality=QUALITY)
    return cells._replace(folder=folder, names=names)


def measure(root: Path) -> dict[str, Any]:
    """Figures by scale."""
    photographs, workspace = write_photographs(root), Workspace.open(root / "workspace")
    scores: dict[str, list[float]] = {scale: [] for scale in SCALES}
    agreements: list[float] = []
    for seed in range(DIVISIONS):
        divide_cells(photographs, "four_classes", seed)
        for scale in SCALES:
            settings = TrainingSettings(jpeg_scale=scale, learner="frozen", seed=seed, time_budget_minutes=3)
            judged = train_and_judge(photographs.folder, workspace, settings)
            scores[scale].append(judged.scorecard.served.macro_f1.value)
            if scale == "full":
                agreements.append(_agreement(judged, photographs.folder))
    return {
        "pictures": f"{SIDE_PX} px, quality {QUALITY}, network of 224 px",
        "divisions": DIVISIONS,
        "macro_f1": {scale: [round(value, 4) for value in values] for scale, values in scores.items()},
        "mean_difference": round(statistics.mean(np.subtract(scores[SCALES[1]], scores["full"])), 4),
        "same_answers_if_only_served_so": round(statistics.mean(agreements), 4),
        "decode_and_resize_ms": _times(photographs),
    }


def _agreement(judged: Judged, folder: Path) -> float:
    """Share of test pictures that get the same class from a model that was trained on full scale."""
    card = card_of(judged.onnx_bytes)
    session = ImageSession(judged.onnx_bytes)
    contracts = [card.preprocess.model_copy(update={"jpeg_scale": scale}) for scale in SCALES]
    rows = [row for row in judged.split.to_pylist() if row["split"] == "test"]
    same = 0
    for row in rows:
        data = (folder / file_name(row)).read_bytes()
        pixels = [contract.apply(decode_rgb(data, _LIMIT, contract.draft_px)[0]) for contract in contracts]
        left, right = (session.run(p, ("probabilities",))["probabilities"].argmax() for p in pixels)
        same += bool(left == right)
    return same / len(rows)


def _times(photographs: Cells) -> dict[str, float]:
    """Median milliseconds a picture on one thread, by turns."""
    data = [(photographs.folder / name).read_bytes() for name in photographs.names[:TIMED]]
    contract = Preprocess(width_px=224, height_px=224)
    spent: dict[str, list[float]] = {scale: [] for scale in SCALES}
    for _ in range(ROUNDS):
        for scale in SCALES:
            chosen = contract.model_copy(update={"jpeg_scale": scale})
            started = time.perf_counter()
            for bytes_ in data:
                chosen.apply(decode_rgb(bytes_, _LIMIT, chosen.draft_px)[0])
            spent[scale].append(1000 * (time.perf_counter() - started) / len(data))
    return {scale: round(statistics.median(values), 2) for scale, values in spent.items()}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        figures = measure(Path(place))
    sys.stdout.write(f"{write_result('jpeg_scale', DIVISIONS, figures)}\n")
