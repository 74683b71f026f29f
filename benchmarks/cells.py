"""ELPV's solar cells by the protocol of their papers: 75/25, stratified by label and cell type, several times.

Four classes are the four defect probabilities; two are probability above 0.5 or not, as Deitsch et al. 2019
(arXiv 1807.02894) count them. A fifth of the 75 % is for tuning. The public labels name no module, so cells of one
module lie on both sides, in the published numbers and here.
"""

from __future__ import annotations

import csv
import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import elpv_dataset.utils
import numpy as np
from sklearn.model_selection import train_test_split

from benchmarks.chain import train_and_judge
from models.artifacts.records import Scorecard
from models.artifacts.workspace import Workspace
from models.learning.training_settings import TrainingSettings

Task = Literal["four_classes", "two_classes"]
HELD_SHARE, TUNE_SHARE = 0.25, 0.2


class Cells(NamedTuple):
    """The pictures as files, with defect probability (N,) and kind of cell (N,)."""

    folder: Path
    names: list[str]
    probability: np.ndarray
    kind: np.ndarray


def write_cells(folder: Path) -> Cells:
    """All 2,624 pictures in one folder."""
    from PIL import Image  # noqa: PLC0415 - for this function only

    pictures, probability, kind = elpv_dataset.utils.load_dataset()
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"{k:04}.png" for k in range(len(pictures))]
    for name, picture in zip(names, pictures, strict=True):
        Image.fromarray(picture).save(folder / name)
    return Cells(folder, names, probability, kind)


def divide_cells(cells: Cells, task: Task, seed: int) -> None:
    """Writes the table of labels and splits of one repeat."""
    labels = np.array([_label(value, task) for value in cells.probability])
    strata = np.char.add(labels, cells.kind.astype(str))
    rest, held = train_test_split(np.arange(len(labels)), test_size=HELD_SHARE, random_state=seed, stratify=strata)
    train, tune = train_test_split(rest, test_size=TUNE_SHARE, random_state=seed, stratify=strata[rest])
    with (cells.folder / "labels.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["path", "label", "split"])
        for split, part in (("train", train), ("tune", tune), ("test", held)):
            table.writerows((cells.names[k], labels[k], split) for k in part)


def judge_repeats(
    cells: Cells, task: Task, settings: TrainingSettings, seeds: Iterable[int], workspace: Workspace
) -> list[Scorecard]:
    """One scorecard a repeat, on its held-out quarter."""
    found = []
    for seed in seeds:
        divide_cells(cells, task, seed)
        judged = train_and_judge(cells.folder, workspace, settings.model_copy(update={"seed": seed}))
        found.append(judged.scorecard)
    return found


def summary(cards: list[Scorecard]) -> dict[str, Any]:
    """Mean and standard deviation over repeats, and the mean of their 95 % bootstrap intervals."""
    figures: dict[str, Any] = {"repeats": len(cards), "held_out": cards[0].served.rows}
    for name in ("macro_f1", "balanced_accuracy", "accuracy"):
        for kind in ("served", "uncorrected"):
            intervals = [getattr(getattr(card, kind), name) for card in cards]
            values = [interval.value for interval in intervals]
            figures[f"{kind}_{name}"] = {
                "mean": round(statistics.mean(values), 4),
                "sd": round(statistics.stdev(values), 4) if len(values) > 1 else None,
                "low": round(statistics.mean(i.low for i in intervals), 4),
                "high": round(statistics.mean(i.high for i in intervals), 4),
                "values": [round(value, 4) for value in values],
            }
    return figures


def _label(probability: float, task: Task) -> str:
    if task == "two_classes":
        return "defect" if probability > 0.5 else "good"
    return f"defect-{round(float(probability) * 100):03}"
