"""Sealed records of what a network learned from pictures without labels."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


class PretrainScore(_Record):
    """Features after some epochs, judged by the labels that there are.

    Attributes:
        epoch: 0 before the first.
        loss: mean of the epoch; null before the first, and without epochs.
        spread: of embeddings of length 1, over that of even directions; near 0 where all pictures have become alike.
        knn_accuracy: of the nearest neighbours on held-out labelled pictures; null without labels.
        probe_accuracy: of a linear layer on the same.
    """

    epoch: int
    loss: float | None = None
    spread: float
    knn_accuracy: float | None = None
    probe_accuracy: float | None = None


class PretrainReport(_Record):
    """What was learned from, how, and what it is worth.

    Attributes:
        pictures: learned from, whether they have a label or not.
        labelled: of them, those by which features were judged.
        weights: path of the weights, for `training.weights`.
        weights_sha256: digest of that file.
        earned: whether it scores higher by the labels than what it started from; null without labels.
        use: settings by which training starts from it.
    """

    name: str
    method: str
    network: str
    size_px: int
    channels: int
    started_from: str
    pictures: int
    labelled: int
    scores: tuple[PretrainScore, ...]
    epochs: int
    is_whole: bool
    elapsed_s: float
    weights: str
    weights_sha256: str
    earned: bool | None
    use: tuple[str, ...]
    page: str
    notes: tuple[str, ...] = ()
