"""What training is given: the rows of train and tune, how often each is drawn, and the settings."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from models.artifacts.records import Exclusion, Task
from models.data.draws import DrawWeights
from models.data.exclusion import exclusion_of
from models.data.listing import file_name
from models.data.resample import average_draw_weight, read_draws
from models.data.split import NO_CLASS, TRAIN, TUNE, SplitSettings, row_classes, split_settings
from models.errors import DataError
from models.learning.training_settings import TrainingSettings

_LEAST_CLASSES = 2


class Sample(NamedTuple):
    """Rows of one split: where each picture lies, its digest, its classes and the user's weight.

    Attributes:
        targets: (N, K) float32, 1 where a class applies.
        weight: (N,).
    """

    paths: list[Path]
    image_ids: list[str]
    targets: NDArray[np.float32]
    weight: NDArray[np.float64]

    @property
    def class_index(self) -> NDArray[np.int64]:
        """(N,) position of the class of each row that has one."""
        return np.asarray(self.targets.argmax(1), dtype=np.int64)


class Lesson(NamedTuple):
    """All that training is given.

    Attributes:
        draw_weight: (N,) the average of `draws` over a whole training.
        prior: (K,) share of what is drawn that each class is; for several labels, of the rows that carry it.
        exclusion: pictures that were not to be learned from.
    """

    task: Task
    classes: tuple[str, ...]
    train: Sample
    tune: Sample
    draws: DrawWeights
    draw_weight: NDArray[np.float64]
    prior: NDArray[np.float64]
    settings: TrainingSettings
    split: SplitSettings
    exclusion: Exclusion | None = None


def prepare_lesson(folder: Path, split: pa.Table, plan: pa.Table, settings: TrainingSettings) -> Lesson:
    """The rows of train and tune, and how often each is drawn.

    Raises:
        DataError: fewer than two classes, a class of which no picture is ever drawn or that train lacks, or an
            empty split.
    """
    task = task_of(split)
    classes = tuple(sorted({name for row in row_classes(split) for name in row if _is_class(name, task)}))
    train, tune = (sample_of(folder, split, name, classes) for name in (TRAIN, TUNE))
    weights = average_draw_weight(plan)
    prior = weights @ train.targets / weights.sum()
    _require_lesson(classes, train, tune, prior)
    draws, excluded = read_draws(plan), exclusion_of(split.schema.metadata)
    return Lesson(task, classes, train, tune, draws, weights, prior, settings, split_settings(split), excluded)


def task_of(split: pa.Table) -> Task:
    """Whether its pictures have one label each, or lists of labels."""
    return "multi_label" if split["labels"].null_count < split.num_rows else "single_label"


def sample_of(folder: Path, split: pa.Table, name: str, classes: tuple[str, ...]) -> Sample:
    """Rows of one split, in the order of the table."""
    rows = split.filter(pc.equal(split["split"], name))
    found = rows.select(["path", "path_bytes", "image_id"]).to_pylist()
    place = {label: k for k, label in enumerate(classes)}
    targets = np.zeros((rows.num_rows, len(classes)), dtype=np.float32)
    for row, names in zip(targets, row_classes(rows), strict=True):
        row[[place[label] for label in names if label in place]] = 1
    weight = rows["weight"].fill_null(1).to_numpy()
    return Sample([folder / file_name(row) for row in found], [row["image_id"] for row in found], targets, weight)


def with_tune(lesson: Lesson) -> Lesson:
    """The lesson to learn from once more when all is chosen: the tune rows below those of train, drawn alike."""
    train, tune, draws = lesson.train, lesson.tune, lesson.draws
    both = Sample(
        train.paths + tune.paths,
        train.image_ids + tune.image_ids,
        np.concatenate([train.targets, tune.targets]),
        np.concatenate([train.weight, tune.weight]),
    )
    average, first, last = (
        np.concatenate([weights, _tune_weights(lesson, weights)])
        for weights in (lesson.draw_weight, draws.first, draws.last)
    )
    rows = round(draws.rows_per_epoch * len(both.paths) / len(train.paths))
    prior = average @ both.targets / average.sum()
    return lesson._replace(
        train=both, draws=DrawWeights(first, last, rows), draw_weight=average, prior=np.asarray(prior)
    )


def _tune_weights(lesson: Lesson, draw_weight: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N,) draw weights of the tune rows: the user's own, each as much as training makes of it in its class."""
    train, tune = lesson.train, lesson.tune
    if lesson.task == "multi_label":
        return np.asarray(tune.weight * draw_weight.mean() / max(train.weight.mean(), 1e-12))
    count = len(lesson.classes)
    drawn = np.bincount(train.class_index, draw_weight, count)
    own = np.bincount(train.class_index, train.weight, count)
    return np.asarray((drawn / own)[tune.class_index] * tune.weight)


def train_shares(lesson: Lesson) -> tuple[float, ...]:
    """(K,) share of the training rows that carry each class."""
    counts = lesson.train.targets.sum(0, dtype=np.float64)
    total = counts.sum() if lesson.task == "single_label" else len(lesson.train.targets)
    return tuple(map(float, counts / total))


def _is_class(name: str, task: Task) -> bool:
    """Whether a name is one that a network can learn: pictures to which nothing applies teach that by its absence."""
    return task == "single_label" or name != NO_CLASS


def _require_lesson(classes: tuple[str, ...], train: Sample, tune: Sample, prior: NDArray[np.float64]) -> None:
    """Refuses what cannot be learned from; all findings at once."""
    never = [name for name, share in zip(classes, prior.tolist(), strict=True) if not share > 0]
    findings = {
        f"{len(classes)} class{'es' if len(classes) != 1 else ''}": len(classes) < _LEAST_CLASSES,
        "no picture in train": not len(train.paths),
        "no picture in tune": not len(tune.paths),
        f"no training picture of class {', '.join(never)} is ever drawn": bool(never),
    }
    found = [text for text, is_wrong in findings.items() if is_wrong]
    if found:
        raise DataError(
            "; ".join(found),
            "two classes or more, each with a training picture of a weight above 0, and pictures to tune on",
            "Add pictures, or mend the column weight or split of the label table.",
        )
