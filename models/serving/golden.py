"""Golden pictures: by them a machine shows that it answers as the one that trained, from the file's bytes on."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from models.artifacts.tables import GOLDEN, table_of
from models.data.decode import decode_rgb
from models.data.limits import DecodeLimits
from models.data.preprocess import Preprocess
from models.errors import ArtifactChanged, UnreadableImage
from models.serving.picture_scorer import PictureScorer

GOLDEN_PICTURES = 12
GOLDEN_TOLERANCE, ROUNDED_TOLERANCE = 1e-3, 0.05
_EXACT = ("float", "student")
Floats = NDArray[np.float64]


def pixels_of(files: Sequence[bytes], preprocess: Preprocess) -> NDArray[np.uint8]:
    """(N, height_px, width_px, 3) of one or more picture files, as the model's contract reads them."""
    return np.stack(
        [preprocess.apply(decode_rgb(data, DecodeLimits().max_pixels, preprocess.draft_px)[0]) for data in files]
    )


def golden_files(golden: pa.Table) -> list[bytes]:
    """The picture files of a bundle.

    Raises:
        ArtifactChanged: there are none.
    """
    files: list[bytes] = golden["picture"].to_pylist()
    if not files:
        raise ArtifactChanged("a bundle without golden pictures", "some to answer", "Train anew.")
    return files


def golden_table(files: Sequence[bytes], scorer: PictureScorer) -> pa.Table:
    """Table GOLDEN of picture files, answered by the model that will be served."""
    rows = []
    for data, pixels in zip(files, pixels_of(files, scorer.card.preprocess), strict=True):
        digest = hashlib.sha256(pixels.tobytes()).hexdigest()
        rows.append({"picture": data, "pixels_sha256": digest, "probabilities": scorer.probabilities(pixels)})
    return table_of(rows, GOLDEN)


def check_golden(golden: pa.Table, scorer: PictureScorer) -> float:
    """Largest difference of a probability from what the bundle says.

    Models in integers round: where another instruction set differs in the last bit of one layer, a probability may move
    by some hundredths. There the limit is wider, and the best class has to be the same wherever it is clear.

    Raises:
        ArtifactChanged: the difference is above the limit; the message says whether decoding or the model differs.
    """
    found = _answered(golden_files(golden), scorer)
    answers, expected = (np.array(table["probabilities"].to_pylist()) for table in (found, golden))
    limit = GOLDEN_TOLERANCE if scorer.card.variant in _EXACT else ROUNDED_TOLERANCE
    largest, moved = float(np.abs(answers - expected).max()), _moved(answers, expected, 2 * limit)
    if not largest <= limit or moved:  # so that NaN does not pass
        is_decoded_alike = found["pixels_sha256"].equals(golden["pixels_sha256"])
        raise ArtifactChanged(
            f"this machine answers golden pictures differently by up to {largest:.1e}, "
            f"{'from the same pixels' if is_decoded_alike else 'as it decodes them differently'}",
            f"at most {limit:.0e}",
            "Install the locked versions, or train on this machine."
            if is_decoded_alike
            else "Install the locked Pillow.",
        )
    return largest


def _moved(answers: Floats, expected: Floats, clear: float) -> int:
    """Pictures with another best class, though the best was ahead by more than `clear`."""
    ordered = np.sort(expected, axis=1)
    is_clear = ordered[:, -1] - ordered[:, -2] > clear
    return int((is_clear & (answers.argmax(1) != expected.argmax(1))).sum())


def _answered(files: Sequence[bytes], scorer: PictureScorer) -> pa.Table:
    try:
        return golden_table(files, scorer)
    except (MemoryError, UnreadableImage):
        raise
    # onnxruntime's exceptions share no base class below Exception.
    except Exception as error:
        raise ArtifactChanged(
            f"the model fails on golden pictures ({error})", "a model that runs here", "Run sortline models verify."
        ) from error
