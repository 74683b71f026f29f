"""Golden pictures: by them a machine shows that it answers as the one that trained, from the file's bytes on."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from models.artifacts.tables import GOLDEN, table_of
from models.data.decode import decode_rgb
from models.data.limits import NO_LIMITS
from models.errors import ArtifactChanged
from models.serving.picture_scorer import PictureScorer

GOLDEN_PICTURES = 12
GOLDEN_TOLERANCE = 1e-3


def golden_table(files: Sequence[bytes], scorer: PictureScorer) -> pa.Table:
    """Table GOLDEN of picture files, answered by the model that will be served."""
    rows = []
    for data in files:
        pixels = scorer.card.preprocess.apply(decode_rgb(data, NO_LIMITS.max_pixels)[0])
        digest = hashlib.sha256(pixels.tobytes()).hexdigest()
        rows.append({"picture": data, "pixels_sha256": digest, "probabilities": scorer.probabilities(pixels)})
    return table_of(rows, GOLDEN)


def check_golden(golden: pa.Table, scorer: PictureScorer) -> float:
    """Largest difference of a probability from what the bundle says.

    Raises:
        ArtifactChanged: it is above a thousandth; the message says whether decoding or the model differs.
    """
    found = golden_table(golden["picture"].to_pylist(), scorer)
    columns = (np.array(table["probabilities"].to_pylist()) for table in (found, golden))
    largest = float(np.abs(np.subtract(*columns)).max())
    if not largest <= GOLDEN_TOLERANCE:  # so that NaN does not pass
        is_decoded_alike = found["pixels_sha256"].equals(golden["pixels_sha256"])
        raise ArtifactChanged(
            f"this machine answers golden pictures differently by up to {largest:.1e}, "
            f"{'from the same pixels' if is_decoded_alike else 'as it decodes them differently'}",
            f"at most {GOLDEN_TOLERANCE:.0e}",
            "Install the locked versions, or train on this machine."
            if is_decoded_alike
            else "Install the locked Pillow.",
        )
    return largest
