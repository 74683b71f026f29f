"""Learning from pictures without labels, by what a first model is sure of (FixMatch's rule, arXiv 2001.07685).

The threshold is not a guess: it is where names of that sureness were right often enough on tune. The second model is
kept only where tune shows that it is better by more than the standard error of the difference.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.artifacts.records import PseudoReport
from models.data.draws import DrawWeights
from models.data.listing import file_name
from models.data.scan import ScanSettings, list_and_scan
from models.data.split import readable_rows
from models.errors import SettingsError
from models.learning.checkpoint import Checkpoint, build_of, rebuild_trunk
from models.learning.correction import served_probabilities
from models.learning.embed import FeatureStore
from models.learning.head import head_logits
from models.learning.lesson import Lesson, Sample
from models.learning.metrics import confusion_counts, objective_value
from models.learning.pseudo_settings import PseudoSettings
from models.serving.export import trunk_onnx

_LEAST_TUNE_ROWS, _RESAMPLES = 10, 500
Floats = NDArray[np.float64]
Learn = Callable[[Lesson], Checkpoint]


class Named(NamedTuple):
    """Pictures that a model is sure of: where they lie, their digests, and (N,) the classes that it says."""

    paths: list[Path]
    image_ids: list[str]
    class_index: NDArray[np.int64]


def learn_with_unlabelled(lesson: Lesson, features_dir: Path, learn: Learn) -> Checkpoint:
    """The checkpoint of whichever of two models tune says is better, with what became of the other in its card.

    Args:
        lesson: with labels.
        features_dir: where what was seen of pictures is kept.
        learn: gives a checkpoint of a lesson.

    Raises:
        SettingsError: pictures with several labels each, or several processes.
    """
    settings = lesson.settings.pseudo
    if lesson.task == "multi_label" or lesson.settings.fit.processes > 1:
        raise SettingsError(
            "training.pseudo.folder for pictures of several labels, or with several processes",
            "pictures with one label, and training.fit.processes=1",
            "Leave one of them out.",
        )
    first = learn(lesson)
    threshold, precision = threshold_for(*_tune_scores(first), settings.precision)
    if threshold is None:
        return _with_report(
            first, PseudoReport(pictures=0, named=0, precision=precision, refusal=_too_unsure(settings))
        )
    pictures = _unlabelled(lesson, settings)
    named = _named(first, pictures, features_dir, threshold)
    told = PseudoReport(
        pictures=len(pictures.paths),
        named=len(named.paths),
        threshold=threshold,
        precision=precision,
        named_by_class={k: int(n) for k, n in zip(lesson.classes, _counts(named, lesson), strict=True)},
        first_objective=_objective(first, lesson),
    )
    if not named.paths:
        return _with_report(first, told.model_copy(update={"refusal": "no picture without a label is named surely"}))
    second = learn(with_named(lesson, named))
    gain, error = _gain(first, second, lesson)
    told = told.model_copy(update={"second_objective": told.first_objective + gain, "error": error})
    if gain > error:
        return _with_report(second, told.model_copy(update={"is_taken": True}))
    refusal = f"tune shows no gain beyond chance ({gain:+.4f}, standard error {error:.4f})"
    return _with_report(first, told.model_copy(update={"refusal": refusal}))


def threshold_for(score: Floats, is_right: NDArray[np.bool_], precision: float) -> tuple[float | None, float]:
    """The lowest score from which on names are right often enough, and the share that is right there.

    Args:
        score: (N,) of the best class of tune rows.
        is_right: (N,) whether it is the true one.
        precision: wanted share.

    Returns:
        None where no 10 rows reach it, with the share of all rows that is right.
    """
    order = np.argsort(-score, kind="stable")
    share = np.cumsum(is_right[order]) / np.arange(1, len(order) + 1)
    # Equal scores stand or fall together.
    is_last = np.append(np.diff(score[order]) != 0, True)
    good = np.flatnonzero((share >= precision) & is_last & (np.arange(len(order)) >= _LEAST_TUNE_ROWS - 1))
    if not len(good):
        return None, float(is_right.mean()) if len(is_right) else 0.0
    return float(score[order][good[-1]]), float(share[good[-1]])


def with_named(lesson: Lesson, named: Named) -> Lesson:
    """The lesson with named pictures below those of train, drawn less often, and varied as the settings say."""
    settings, train, draws = lesson.settings.pseudo, lesson.train, lesson.draws
    targets = np.eye(len(lesson.classes), dtype=np.float32)[named.class_index]
    joined = Sample(
        [*train.paths, *named.paths],
        [*train.image_ids, *named.image_ids],
        np.concatenate([train.targets, targets]),
        np.concatenate([train.weight, np.full(len(named.paths), settings.weight)]),
    )
    first, last, average = (
        np.concatenate([own, np.full(len(named.paths), settings.weight * own.mean())])
        for own in (draws.first, draws.last, lesson.draw_weight)
    )
    rows = draws.rows_per_epoch + round(settings.weight * len(named.paths))
    augment = lesson.settings.augment.model_copy(update={"policy": settings.policy})
    return lesson._replace(
        train=joined,
        draws=DrawWeights(first, last, rows),
        draw_weight=average,
        prior=np.asarray(average @ joined.targets / average.sum()),
        settings=lesson.settings.model_copy(update={"augment": augment}),
    )


def _tune_scores(checkpoint: Checkpoint) -> tuple[Floats, NDArray[np.bool_]]:
    rows = checkpoint.calibration
    found = served_probabilities(rows.logits, checkpoint.card)
    return found.max(1), found.argmax(1) == rows.targets.argmax(1)


def _unlabelled(lesson: Lesson, settings: PseudoSettings) -> Named:
    """The readable pictures of the folder that the lesson does not hold, without names yet."""
    folder = Path(settings.folder)
    manifest = list_and_scan(folder, ScanSettings(layout="flat"))
    known = {*lesson.train.image_ids, *lesson.tune.image_ids}
    rows = {r["image_id"]: folder / file_name(r) for r in readable_rows(manifest).to_pylist()}
    ids = sorted(image_id for image_id in rows if image_id not in known)
    drawn = np.random.default_rng(lesson.settings.seed).permutation(len(ids))[: settings.most_pictures]
    kept = [ids[k] for k in np.sort(drawn)]
    return Named([rows[i] for i in kept], kept, np.zeros(len(kept), dtype=np.int64))


def _named(checkpoint: Checkpoint, pictures: Named, features_dir: Path, threshold: float) -> Named:
    """Those of the pictures that the model is sure of, with what it says."""
    if not pictures.paths:
        return pictures
    build, card = build_of(checkpoint.card), checkpoint.card
    trunk = trunk_onnx(rebuild_trunk(checkpoint), build.size_px, build.channels)
    features = FeatureStore(features_dir, trunk, card.preprocess).features(pictures.paths, pictures.image_ids)
    found = served_probabilities(head_logits(features, checkpoint.layers).astype(np.float32), card)
    sure = np.flatnonzero(found.max(1) >= threshold)
    return Named(
        [pictures.paths[k] for k in sure], [pictures.image_ids[k] for k in sure], found[sure].argmax(1).astype(np.int64)
    )


def _objective(checkpoint: Checkpoint, lesson: Lesson) -> float:
    return _objective_of(*_tune_answers(checkpoint), len(lesson.classes), lesson.settings.objective)


def _gain(first: Checkpoint, second: Checkpoint, lesson: Lesson) -> tuple[float, float]:
    """How much better the second model's objective on tune is, and the standard error of that by resampling tune."""
    true, before = _tune_answers(first)
    _, after = _tune_answers(second)
    count, name = len(lesson.classes), lesson.settings.objective
    gain = _objective_of(true, after, count, name) - _objective_of(true, before, count, name)
    rng = np.random.default_rng(lesson.settings.seed)
    drawn = [rng.integers(len(true), size=len(true)) for _ in range(_RESAMPLES)]
    gaps = [
        _objective_of(true[k], after[k], count, name) - _objective_of(true[k], before[k], count, name) for k in drawn
    ]
    return gain, float(np.std(gaps))


def _tune_answers(checkpoint: Checkpoint) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(N,) true classes of tune, and those that a model says."""
    rows = checkpoint.calibration
    found = served_probabilities(rows.logits, checkpoint.card).argmax(1)
    return rows.targets.argmax(1).astype(np.int64), found.astype(np.int64)


def _objective_of(true: NDArray[np.int64], said: NDArray[np.int64], count: int, name: str) -> float:
    return float(objective_value(confusion_counts(true, said, count), name))


def _counts(named: Named, lesson: Lesson) -> NDArray[np.int64]:
    return np.bincount(named.class_index, minlength=len(lesson.classes))


def _too_unsure(settings: PseudoSettings) -> str:
    return f"no {_LEAST_TUNE_ROWS} tune pictures are named rightly in {settings.precision:.0%}"


def _with_report(checkpoint: Checkpoint, report: PseudoReport) -> Checkpoint:
    return checkpoint._replace(card=checkpoint.card.model_copy(update={"pseudo": report}))
