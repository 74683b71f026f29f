"""Whether an exported file answers as the network that it came from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from models.artifacts.records import Task
from models.errors import ExportMismatch
from models.learning.head import Layer
from models.learning.multi_label_metrics import DECISION, given_labels
from models.networks.registry import UprightTrunk
from models.serving.picture_scorer import card_of
from models.serving.session import ImageSession

PARITY_TOLERANCE = 1e-4
PARITY_PICTURES = 64
PARITY_BATCHES = (1, 2, 7)
DECISION_ROUNDING = 1e-5
Floats = NDArray[np.float32]


def check_parity(
    onnx_bytes: bytes, trunk: torch.nn.Module, layers: Sequence[Layer], pictures: NDArray[np.uint8]
) -> float:
    """Largest difference of a probability between the ONNX file and the network in torch, in batches of 1, 2 and 7.

    Args:
        onnx_bytes: the exported model.
        trunk: the network that was trained.
        layers: `served_layers` of the same checkpoint.
        pictures: (N, H, W, 3) real ones, as the model's contract makes them.

    Raises:
        ExportMismatch: a difference above 1e-4, or another top class or set of labels.
    """
    card, session = card_of(onnx_bytes), ImageSession(onnx_bytes)
    expected = _torch_probabilities(trunk, card.channels, layers, card.task, pictures)
    return max(_compare(_probabilities(session, pictures, rows), expected, card.task, rows) for rows in PARITY_BATCHES)


def _torch_probabilities(
    trunk: torch.nn.Module, channels: int, layers: Sequence[Layer], task: Task, pixels: NDArray[np.uint8]
) -> Floats:
    with torch.inference_mode():
        hidden = UprightTrunk(trunk, channels).eval()(torch.from_numpy(pixels))
        for position, (weight, bias) in enumerate(layers):
            hidden = torch.relu(hidden) if position else hidden
            hidden = hidden @ torch.from_numpy(weight).T + torch.from_numpy(bias)
        found = torch.sigmoid(hidden) if task == "multi_label" else torch.softmax(hidden, dim=1)
    return np.asarray(found.numpy())


def _probabilities(session: ImageSession, pixels: NDArray[np.uint8], rows: int) -> Floats:
    blocks = [session.run_block(pixels[k : k + rows], ("probabilities",)) for k in range(0, len(pixels), rows)]
    return np.concatenate([block["probabilities"] for block in blocks])


def _compare(found: Floats, expected: Floats, task: Task, rows: int) -> float:
    """Largest difference of two models on the same pictures, refused where it is too large."""
    is_multi = task == "multi_label"
    largest = float(np.abs(found - expected).max())
    moved = int((labels_moved(found, expected) if is_multi else found.argmax(1) != expected.argmax(1)).sum())
    what = "sets of labels" if is_multi else "top classes"
    if not largest <= PARITY_TOLERANCE or moved:  # so that NaN does not pass
        raise ExportMismatch(
            f"in batches of {rows}, exported probabilities differ by up to {largest:.1e} "
            f"and {moved} of {len(expected)} {what} moved",
            f"at most {PARITY_TOLERANCE:.0e} and none",
            "Report the network's name and versions; the model was not kept.",
        )
    return largest


def labels_moved(found: Floats, expected: Floats) -> NDArray[np.bool_]:
    """(N,) whether a label of a picture is given by one and not by the other; on the edge itself rounding decides."""
    is_edge = np.abs(expected - DECISION) < DECISION_ROUNDING
    return np.asarray(((given_labels(found) != given_labels(expected)) & ~is_edge).any(1))
