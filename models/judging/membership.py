"""Whether somebody who has the model can tell which pictures it learned from (Yeom et al., arXiv 1709.01604).

The attacker calls a picture learned from where the model is surer of its true class than of others. Train and test
pictures are compared class by class alike, so that the mix of classes gives nothing away.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from models.artifacts.judging_records import MembershipReport
from models.data.listing import file_name
from models.data.split import TEST, TRAIN
from models.learning.embed import load_picture
from models.parallel import map_in_threads
from models.serving.picture_scorer import PictureScorer

_RESAMPLES, _LEAST_ROWS, _LEAST = 500, 20, 1e-12
_FALSE_ALARMS = 0.01
Floats = NDArray[np.float64]


def examine_membership(
    folder: Path, split: pa.Table, scorer: PictureScorer, most_rows: int, rng: np.random.Generator
) -> MembershipReport | None:
    """How well membership is told of a sample; None where it is off, or a side has fewer than 20 pictures.

    Args:
        folder: where the pictures lie.
        split: table SPLIT, one label a picture.
        scorer: of the model.
        most_rows: of train, and of test.
        rng: draws the sample and the resamples.
    """
    sides = _drawn(split, scorer.card.classes, most_rows, rng)
    if min(map(len, sides)) < _LEAST_ROWS:
        return None
    learned, fresh = (_sureness(folder, scorer, rows) for rows in sides)
    area = area_of(learned, fresh)
    areas = [area_of(*(rng.choice(side, len(side)) for side in (learned, fresh))) for _ in range(_RESAMPLES)]
    low, high = np.quantile(areas, (0.025, 0.975))
    limit = float(np.quantile(fresh, 1 - _FALSE_ALARMS))
    return MembershipReport(
        rows=len(learned),
        area=area,
        low=float(low),
        high=float(high),
        advantage=advantage_of(learned, fresh),
        found_at_one_percent=float((learned > limit).mean()),
    )


def area_of(learned: Floats, fresh: Floats) -> float:
    """How often a picture that was learned from looks more so than one that was not, ties half: 0.5 tells nothing."""
    ordered = np.sort(fresh)
    below, upto = (np.searchsorted(ordered, learned, side=side) for side in ("left", "right"))
    return float((below + upto).mean() / (2 * len(fresh)))


def advantage_of(learned: Floats, fresh: Floats) -> float:
    """The largest gap between the shares of both that lie above a limit: 0 tells nothing, 1 everything."""
    limits = np.unique(np.concatenate([learned, fresh]))
    above = [(side[np.newaxis, :] >= limits[:, np.newaxis]).mean(1) for side in (learned, fresh)]
    return float(max((above[0] - above[1]).max(), 0.0))


def _drawn(
    split: pa.Table, classes: Sequence[str], most_rows: int, rng: np.random.Generator
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows of train and of test, as many of each class on both sides."""
    sides: tuple[list[dict[str, Any]], list[dict[str, Any]]] = ([], [])
    share = most_rows // max(len(classes), 1)
    for label in classes:
        mine = split.filter(pc.equal(split["label"], label))
        parts = [mine.filter(pc.equal(mine["split"], name)) for name in (TRAIN, TEST)]
        count = min(share, *(part.num_rows for part in parts))
        for side, part in zip(sides, parts, strict=True):
            kept = np.sort(rng.permutation(part.num_rows)[:count])
            side.extend(part.take(pa.array(kept, pa.int64())).to_pylist())
    return sides


def _sureness(folder: Path, scorer: PictureScorer, rows: list[dict[str, Any]]) -> Floats:
    """(N,) logarithm of what each picture's true class is given."""
    preprocess, classes = scorer.card.preprocess, scorer.card.classes

    def sure(row: dict[str, Any]) -> float:
        picture = load_picture(folder / file_name(row), row["image_id"], preprocess.draft_px)
        pixels = preprocess.apply(picture.rgb)
        return float(np.log(max(float(scorer.probabilities(pixels)[classes.index(row["label"])]), _LEAST)))

    return np.array(list(map_in_threads(sure, rows)))
