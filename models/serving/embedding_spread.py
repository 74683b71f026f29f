"""How a model's embeddings of its training pictures are spread; written into the model file as text."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_MEAN, _SD = "sortline.embedding_mean", "sortline.embedding_sd"
_LEAST_SD = 1e-6


class EmbeddingSpread(NamedTuple):
    """Mean and standard deviation of each of D embeddings, (D,) float32 each, no deviation below 1e-6."""

    mean: NDArray[np.float32]
    sd: NDArray[np.float32]

    @classmethod
    def of(cls, embeddings: NDArray[np.float32]) -> EmbeddingSpread:
        """The spread of (N, D) embeddings."""
        rows = embeddings.astype(np.float64)
        return cls(rows.mean(0).astype(np.float32), np.maximum(rows.std(0), _LEAST_SD).astype(np.float32))

    def as_metadata(self) -> dict[str, str]:
        """Texts for a model file: little-endian float32 as base64."""
        return {name: base64.b64encode(values.astype("<f4").tobytes()).decode() for name, values in self._named()}

    def _named(self) -> tuple[tuple[str, NDArray[np.float32]], ...]:
        return (_MEAN, self.mean), (_SD, self.sd)


def spread_of(metadata: Mapping[str, str]) -> EmbeddingSpread | None:
    """The spread that a model file tells; None in older files."""
    if _MEAN not in metadata or _SD not in metadata:
        return None
    mean, sd = (np.frombuffer(base64.b64decode(metadata[name]), dtype="<f4") for name in (_MEAN, _SD))
    return EmbeddingSpread(mean.astype(np.float32), sd.astype(np.float32))
