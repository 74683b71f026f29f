"""A champion of one kind of solar cell at a site with the other kind: what pictures and a few labels of the site give.

Every draw divides the site's cells in halves. Of one half all pictures are known to the adaptation and some have a
label; the other half judges, and is known to nobody. Two classes: defect probability above 0.5 or not.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.cells import Cells, write_cells
from benchmarks.result_file import write_result
from benchmarks.scoring_bundles import make
from models.adaptation.adapt import Adaptation, adapt
from models.adaptation.held_out import balanced_accuracy
from models.adaptation.settings import AdaptSettings
from models.adaptation.site_pictures import SitePictures, look_at_site
from models.adaptation.tail import Tail
from models.artifacts.workspace import Workspace
from models.data.limits import NO_LIMITS
from models.data.listing import listing_table
from models.data.scan import ScanSettings, scan_folder
from models.serving.bundle import Bundle, read_bundle
from models.serving.picture_scorer import PictureScorer
from models.serving.site_graph import with_site
from tests.chain import split_of

KINDS = ("mono", "poly")
A_CLASS = (0, 5, 10, 20, 50)
TIMED, ROUNDS = 300, 9


def write_kinds(root: Path) -> dict[str, Path]:
    """One labelled folder a kind of cell."""
    cells: Cells = write_cells(root / "cells")
    folders = {kind: root / kind for kind in KINDS}
    for name, probability, kind in zip(cells.names, cells.probability, cells.kind, strict=True):
        place = folders[str(kind)] / ("defect" if probability > 0.5 else "good")
        place.mkdir(parents=True, exist_ok=True)
        shutil.copy(cells.folder / name, place / name)
    return folders


def look(bundle: Bundle, folder: Path, workspace: Workspace) -> SitePictures:
    """All pictures of a folder with their labels, as a champion sees them."""
    manifest = scan_folder(folder, listing_table(folder), ScanSettings(near_duplicate_bits=-1))
    return look_at_site(bundle, [(folder, manifest)], workspace.features_dir)


def draw(pictures: SitePictures, known: NDArray[np.int64], a_class: int, rng: np.random.Generator) -> SitePictures:
    """The known pictures, of which so many a class keep their label."""
    labels = np.array(pictures.labels)
    kept = {int(k) for label in np.unique(labels) for k in rng.permutation(known[labels[known] == label])[:a_class]}
    return SitePictures(
        tuple(pictures.image_ids[k] for k in known),
        tuple(pictures.labels[k] if int(k) in kept else None for k in known),
        pictures.embeddings[known],
        pictures.looks[known],
    )


def answers_right(bundle: Bundle, onnx_bytes: bytes, pictures: SitePictures, rows: NDArray[np.int64]) -> float:
    """Balanced accuracy of a model on some pictures."""
    classes = np.array(bundle.card.classes)
    index = np.searchsorted(classes, np.array(pictures.labels)[rows])
    found = Tail(onnx_bytes).run(pictures.embeddings[rows], "probabilities").argmax(1)
    return balanced_accuracy(index, found == index)


def repeat(bundle: Bundle, pictures: SitePictures, a_class: int, draws: int) -> dict[str, Any]:
    """Figures over draws, for so many labels a class."""
    base, adapted, accepted, taken, seconds = [], [], [], [], []
    settings = AdaptSettings(without_proof=not a_class)
    for seed in range(draws):
        rng = np.random.default_rng(seed)
        order = rng.permutation(len(pictures.labels))
        known, held = order[: len(order) // 2], order[len(order) // 2 :]
        site = draw(pictures, known, a_class, rng)
        started = time.perf_counter()
        found: Adaptation = adapt(bundle, site, "other", settings.model_copy(update={"seed": seed}))
        seconds.append(time.perf_counter() - started)
        model = with_site(bundle.onnx_bytes, bundle.card, found.site)
        base.append(answers_right(bundle, bundle.onnx_bytes, pictures, held))
        adapted.append(answers_right(bundle, model, pictures, held))
        accepted.append(found.is_accepted)
        taken.append(adapted[-1] if found.is_accepted else base[-1])
    return {
        "labels_a_class": a_class,
        "draws": draws,
        "base": _spread(base),
        "adapted": _spread(adapted),
        "accepted_share": round(statistics.mean(accepted), 3),
        "as_served": _spread(taken),
        "adapt_seconds_median": round(statistics.median(seconds), 2),
        "adapt_seconds_max": round(max(seconds), 2),
    }


def scoring_cost(bundle: Bundle, folder: Path, pictures: SitePictures) -> dict[str, Any]:
    """Time of scoring files with a site over the time without, by turns."""
    rng = np.random.default_rng(0)
    site = draw(pictures, np.arange(len(pictures.labels)), 10, rng)
    adapted = with_site(bundle.onnx_bytes, bundle.card, adapt(bundle, site, "other", AdaptSettings()).site)
    scorers = [PictureScorer(data, NO_LIMITS) for data in (bundle.onnx_bytes, adapted)]
    paths = sorted(path for path in folder.rglob("*.png"))[:TIMED]
    ratios = []
    for _ in range(ROUNDS):
        taken = [0.0, 0.0]
        for k, path in enumerate(paths):
            for side in (0, 1) if k % 2 else (1, 0):
                started = time.perf_counter()
                scorers[side].score(path)
                taken[side] += time.perf_counter() - started
        ratios.append(taken[1] / taken[0])
    return {"pictures": len(paths), "rounds": ROUNDS, "ratios": sorted(round(r, 4) for r in ratios)} | {
        "median_ratio": round(statistics.median(ratios), 4)
    }


def measure(root: Path, draws: int) -> dict[str, Any]:
    """Figures of both directions, of a site that is like home, and of the cost of scoring."""
    folders, workspace = write_kinds(root), Workspace.open(root / "workspace")
    figures: dict[str, Any] = {}
    for home, away in (KINDS, KINDS[::-1]):
        bundle = read_bundle(make("lite0", folders[home], workspace, name=home).bundle)
        pictures = look(bundle, folders[away], workspace)
        figures[f"{home}_to_{away}"] = [repeat(bundle, pictures, a_class, draws) for a_class in A_CLASS]
        # A site like home: pictures of the champion's own kind that it never learned from.
        at_home = look(bundle, folders[home], workspace)
        ids = {r["image_id"] for r in split_of(folders[home]).to_pylist() if r["split"] == "test"}
        rows = np.array([k for k, image_id in enumerate(at_home.image_ids) if image_id in ids])
        same = SitePictures(
            tuple(at_home.image_ids[k] for k in rows),
            tuple(at_home.labels[k] for k in rows),
            at_home.embeddings[rows],
            at_home.looks[rows],
        )
        figures[f"{home}_to_{home}"] = [repeat(bundle, same, a_class, draws) for a_class in (10, 20)]
        figures[f"scoring_cost_{home}"] = scoring_cost(bundle, folders[away], pictures)
    return figures


def _spread(values: list[float]) -> dict[str, float]:
    return {"mean": round(statistics.mean(values), 4), "sd": round(statistics.stdev(values), 4)}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=20)
    count = parser.parse_args().draws
    with tempfile.TemporaryDirectory() as folder:
        sys.stdout.write(f"{write_result('site_shift', count, measure(Path(folder), count))}\n")
