"""A champion and a site's pictures, brought together: classes, and embeddings as the champion knows them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.adaptation.settings import AdaptSettings
from models.adaptation.site_head import Floats, Rows
from models.adaptation.site_pictures import SitePictures
from models.adaptation.tail import Tail
from models.errors import DataError, SettingsError
from models.serving.bundle import Bundle
from models.serving.embedding_spread import spread_of
from models.serving.lint import read_metadata
from models.serving.site_graph import require_adaptable

# A feature that hardly moves, at the site or at home, must not be blown up.
_MOST_GAIN, _LEAST_SD_SHARE = 10.0, 0.05


class Case(NamedTuple):
    """What is adapted, to what.

    Attributes:
        tail: of the champion.
        classes: K of the site.
        base_weight: (B, K) from the champion's logits to the site's, the mean of the champion's taken away.
        gain: (D,), and shift (D,), by which embeddings are brought to the spread that the champion knows.
        moved: (N, D) embeddings behind them.
        features: (N, D) the same with mean 0 and deviation 1 among the champion's own pictures.
        mean: (D,), and sd (D,), by which they were brought there.
    """

    bundle: Bundle
    pictures: SitePictures
    tail: Tail
    classes: tuple[str, ...]
    base_weight: Floats
    gain: Floats
    shift: Floats
    moved: Floats
    features: Floats
    mean: Floats
    sd: Floats
    is_aligned: bool


def site_case(bundle: Bundle, pictures: SitePictures, settings: AdaptSettings) -> Case:
    """What is adapted, to what.

    Args:
        bundle: the champion.
        pictures: of the site.
        settings: how.

    Raises:
        SettingsError: the champion cannot be adapted.
        DataError: too few pictures, or classes that make no sense.
    """
    require_adaptable(bundle.card)
    spread = spread_of(read_metadata(bundle.onnx_bytes))
    if spread is None:
        raise SettingsError(
            f"bundle {bundle.sha256[:12]} does not tell how its embeddings are spread",
            "one that this version trained, and not privately",
            "Train anew; a private model keeps nothing that sites could be brought to.",
        )
    classes = _classes(bundle.card.classes, pictures.labels, settings)
    embeddings = pictures.embeddings.astype(np.float64)
    is_aligned = settings.align and len(embeddings) >= settings.align_from_pictures
    if not is_aligned and not any(pictures.labels):
        raise DataError(
            f"{len(embeddings)} pictures of the site, none with a label",
            f"{settings.align_from_pictures} pictures, or labels",
            "Add pictures of the site, or label some.",
        )
    mean, sd = spread.mean.astype(np.float64), spread.sd.astype(np.float64)
    sd = np.maximum(sd, _LEAST_SD_SHARE * np.median(sd))
    gain, shift = np.ones_like(mean), np.zeros_like(mean)
    if is_aligned:
        gain = np.minimum(sd / np.maximum(embeddings.std(0), 1e-12), _MOST_GAIN)
        shift = mean - embeddings.mean(0) * gain
    # What is served is what is judged: the file keeps these in half precision.
    gain, shift = half(gain), half(shift)
    moved = embeddings * gain + shift
    known = bundle.card.classes
    base_weight = np.array([[(b == k) - 1 / len(known) if k in known else 0.0 for k in classes] for b in known])
    tail, features = Tail(bundle.onnx_bytes), (moved - mean) / sd
    return Case(bundle, pictures, tail, classes, base_weight, gain, shift, moved, features, mean, sd, is_aligned)


def _classes(known: tuple[str, ...], labels: Sequence[str | None], settings: AdaptSettings) -> tuple[str, ...]:
    """The site's classes: the champion's without those left out, and new ones behind them.

    Where there are labels, every class has some: a class without would lose to the others unseen.
    """
    counts = Counter(label for label in labels if label is not None)
    kept = tuple(label for label in known if label not in settings.leave_out)
    classes = (*kept, *sorted(counts.keys() - set(known)))
    few = [f"{label} ({counts[label]})" for label in classes if counts and counts[label] < settings.least_labelled]
    strange = [label for label in settings.leave_out if label not in known or label in counts]
    findings = {
        f"fewer than {settings.least_labelled} labelled pictures of {', '.join(few)}": few,
        f"adapt.leave_out with {', '.join(strange)}, unknown to the champion or labelled here": strange,
        "fewer than two classes": len(classes) < 2,
    }
    said = [text for text, is_wrong in findings.items() if is_wrong]
    if said:
        raise DataError(
            "; ".join(said),
            f"{settings.least_labelled} labelled pictures or more of each class of the site, and two classes",
            "Label more pictures, or name classes that the site does not have in adapt.leave_out.",
        )
    return classes


def labelled_rows(case: Case) -> Rows:
    """The labelled pictures of the site."""
    labels, positions = case.pictures.labels, case.pictures.labelled
    place = {label: k for k, label in enumerate(case.classes)}
    index = np.array([place[str(labels[k])] for k in positions], dtype=np.int64)
    return Rows(case.features[positions], base_logits(case, positions), index)


def base_logits(case: Case, positions: NDArray[np.int64]) -> Floats:
    """(N, K) the champion's logits on moved embeddings, for the site's classes."""
    found = case.tail.run(case.moved[positions], "logits")
    return np.asarray(found.astype(np.float64) @ case.base_weight)


def half(values: Floats) -> Floats:
    """The nearest numbers of half precision, which the file keeps."""
    return np.asarray(values.astype(np.float16), dtype=np.float64)
