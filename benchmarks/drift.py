"""Drift on real solar cells: false alarms, what is found from how many pictures, and what is told without labels.

The demo's bundle and its own test pictures, clean and spoiled, each scored by a real run. Test pictures and batches of
every trial are both drawn anew, with replacement, from what was scored: both are samples, as they are in a plant.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from benchmarks.result_file import read_figures, write_result
from models.drift.batches import Properties, probabilities_of, properties_of, properties_of_baseline
from models.drift.measure import Against, drift_measures
from models.drift.settings import DriftSettings
from models.drift.without_labels import judge_without_labels
from models.learning.evaluation_rows import class_positions, probability_rows
from models.serving.bundle import Bundle, read_bundle
from models.serving.class_prior import NO_PRIOR, PriorShift, fit_calibration
from models.serving.commit import OutputStore
from models.serving.score import ScoreJob, ScoringSettings, score_folder

SIZES = (50, 200, 1000, 5000)
CLEAN_TRIALS, POWER_TRIALS, TOLD_TRIALS = 500, 100, 40
# Pictures of a batch, and of the test split: how much is known depends on both.
TOLD_SIZES = ((1000, 480), (1000, 2000), (5000, 2000))
SETTINGS = DriftSettings()
# Half as many good cells, and the other classes in proportion.
SHIFTED_GOOD_SHARE = 0.3
_WITHIN = 0.03
Draw = Callable[[int, np.random.Generator], NDArray[np.int64]]


class Scored(NamedTuple):
    """Rows of one condition beside the true classes, in the order of the bundle's baseline."""

    rows: pa.Table
    true_index: NDArray[np.int64]


def _darkened(picture: Image.Image) -> Image.Image:
    return picture.point(lambda value: 0.8 * value)


def _blurred(picture: Image.Image) -> Image.Image:
    return picture.filter(ImageFilter.GaussianBlur(1.5))


SPOILED: dict[str, Callable[[Image.Image], Image.Image]] = {
    "clean": lambda picture: picture,
    "darkened": _darkened,
    "blurred": _blurred,
    "recompressed": lambda picture: picture,  # saved as a JPEG of quality 15
}


def measure(demo: Path, root: Path, *, only_told: bool = False) -> dict[str, Any]:
    """All figures, or those without labels anew beside the others; `demo` is the workspace of a demo that ran."""
    (bundle_folder, *_) = sorted(demo.glob("models/*lite0*/bundles/*"))
    bundle = read_bundle(bundle_folder)
    scored = {name: score_condition(bundle, demo / "demo" / "cells", root / name, name) for name in SPOILED}
    told = {name: Scored(rows, class_positions(bundle.baseline, bundle.card.classes)) for name, rows in scored.items()}
    if only_told:
        return {**read_figures("drift"), **tell(bundle, told)}
    right = {
        name: round(float((np.asarray(_answered(s.rows, bundle)) == s.true_index).mean()), 4)
        for name, s in told.items()
    }
    return {
        "test_pictures": bundle.baseline.num_rows,
        "accuracy": {name: round(share, 4) for name, share in right.items()},
        "false_alarm_share_stated": SETTINGS.false_alarm_share,
        "false_alarms": {str(n): _alarm_share(bundle, told["clean"], n, CLEAN_TRIALS, _evenly) for n in SIZES},
        "found": _power(bundle, told),
        **tell(bundle, told),
    }


def tell(bundle: Bundle, told: dict[str, Scored]) -> dict[str, Any]:
    """What is told without labels."""
    return {
        "without_labels": {f"{n}, {known} test": _without_labels(bundle, told, n, known) for n, known in TOLD_SIZES}
    }


def score_condition(bundle: Bundle, pictures: Path, place: Path, name: str) -> pa.Table:
    """Rows of the test pictures, spoiled in one way, in the order of the baseline."""
    folder = place / "pictures"
    folder.mkdir(parents=True)
    suffix = ".jpg" if name == "recompressed" else ".png"
    for k, path in enumerate(bundle.baseline["path"].to_pylist()):
        with Image.open(pictures / path) as opened:
            SPOILED[name](opened.convert("RGB")).save(folder / f"{k:05}{suffix}", quality=15)
    settings = ScoringSettings(settle_seconds=0, probabilities="all")
    score_folder(ScoreJob(folder, bundle, place / "out", settings), "benchmark")
    return OutputStore(place / "out").read().sort_by("path")


def _evenly(rows: int, rng: np.random.Generator, true_index: NDArray[np.int64]) -> NDArray[np.int64]:
    return rng.integers(0, len(true_index), rows)


def _shifted(rows: int, rng: np.random.Generator, true_index: NDArray[np.int64]) -> NDArray[np.int64]:
    is_good = true_index == np.bincount(true_index).argmax()
    weights = np.where(is_good, SHIFTED_GOOD_SHARE / is_good.sum(), (1 - SHIFTED_GOOD_SHARE) / (~is_good).sum())
    return rng.choice(len(true_index), rows, p=weights)


def _alarm_share(bundle: Bundle, scored: Scored, rows: int, trials: int, draw: Callable[..., Any]) -> float:
    alarms = 0
    for trial in range(trials):
        rng = np.random.default_rng((rows, trial))
        known = _redrawn(bundle, rng)
        batch = scored.rows.take(pa.array(draw(rows, rng, scored.true_index)))
        served = probability_rows(known.baseline, len(bundle.card.classes))
        references: dict[Against, Properties] = {"baseline": properties_of_baseline(known, served)}
        settings = SETTINGS.model_copy(update={"seed": trial})
        alarms += any(m.status == "drift" for m in drift_measures(properties_of(batch), references, settings))
    return alarms / trials


def _power(bundle: Bundle, told: dict[str, Scored]) -> dict[str, dict[str, float]]:
    cases = [(name, scored, _evenly) for name, scored in told.items() if name != "clean"]
    cases.append(("classes shifted", told["clean"], _shifted))
    return {
        name: {str(n): _alarm_share(bundle, scored, n, POWER_TRIALS, draw) for n in SIZES}
        for name, scored, draw in cases
    }


def _without_labels(bundle: Bundle, told: dict[str, Scored], rows: int, known_rows: int) -> dict[str, Any]:
    cases = [(name, scored, _evenly) for name, scored in told.items()]
    cases += [("classes shifted", told["clean"], _shifted), ("classes drawn", told["clean"], _drawn_mix)]
    return {name: _told(bundle, scored, (rows, known_rows), draw) for name, scored, draw in cases}


def _drawn_mix(rows: int, rng: np.random.Generator, true_index: NDArray[np.int64]) -> NDArray[np.int64]:
    """A batch of a mix of classes that is itself drawn."""
    counts = np.bincount(true_index)
    mix = rng.dirichlet(np.full(len(counts), 2.0))
    return rng.choice(len(true_index), rows, p=(mix / counts)[true_index])


def _told(bundle: Bundle, scored: Scored, sizes: tuple[int, int], draw: Callable[..., Any]) -> dict[str, Any]:
    rows, known_rows = sizes
    errors, mix_errors, gains, known = [], [], [], 0
    for trial in range(TOLD_TRIALS):
        rng = np.random.default_rng((rows, trial))
        mine = _redrawn(bundle, rng, known_rows)
        places = draw(rows, rng, scored.true_index)
        batch, true_index = scored.rows.take(pa.array(places)), scored.true_index[places]
        accuracy, mix = judge_without_labels(batch, mine, SETTINGS.model_copy(update={"seed": trial}), NO_PRIOR)
        right = float((np.asarray(_answered(batch, bundle)) == true_index).mean())
        if accuracy.value is not None:
            errors.append(abs(accuracy.value - right))
        if mix.status in ("shifted", "same"):
            known += 1
            found = np.array([share.share for share in mix.shares])
            mix_errors.append(np.abs(found - np.bincount(true_index, minlength=len(found)) / rows))
            gains.append(_corrected_accuracy(mine, batch, true_index, found) - right)
    return {
        "accuracy_told_share": len(errors) / TOLD_TRIALS,
        "accuracy_mean_error": _mean(errors),
        "accuracy_within_3_points": _mean([error <= _WITHIN for error in errors]),
        "mix_told_share": known / TOLD_TRIALS,
        "mix_mean_error": _mean([float(error.mean()) for error in mix_errors]),
        "mix_mean_largest_error": _mean([float(error.max()) for error in mix_errors]),
        "accuracy_gained": _mean(gains),
    }


def _corrected_accuracy(bundle: Bundle, batch: pa.Table, true_index: NDArray[np.int64], mix: Any) -> float:
    classes = bundle.card.classes
    known = probability_rows(bundle.baseline, len(classes)), class_positions(bundle.baseline, classes)
    shift = PriorShift(fit_calibration(*known), mix)
    return float((shift.apply(probabilities_of(batch, classes)).argmax(1) == true_index).mean())


def _redrawn(bundle: Bundle, rng: np.random.Generator, rows: int | None = None) -> Bundle:
    there = bundle.baseline.num_rows
    return bundle._replace(baseline=bundle.baseline.take(pa.array(rng.integers(0, there, rows or there))))


def _answered(rows: pa.Table, bundle: Bundle) -> list[int]:
    place = {label: k for k, label in enumerate(bundle.card.classes)}
    return [place[label] for label in rows["label"].to_pylist()]


def _mean(values: list[Any]) -> float | None:
    return round(statistics.mean(map(float, values)), 4) if values else None


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("demo", type=Path, help="workspace of a demo that ran")
    parser.add_argument("--only-told", action="store_true", help="what is told without labels, beside the last rest")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder_name:
        figures = measure(given.demo, Path(folder_name), only_told=given.only_told)
    sys.stdout.write(f"{write_result('drift', CLEAN_TRIALS, figures)}\n")
