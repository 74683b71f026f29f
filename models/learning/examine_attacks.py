"""The report on robustness with attacks: on the trained network itself, since a served graph gives no slopes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from models.artifacts.judging_records import CorruptionScore, RobustnessReport
from models.judging.robustness import (
    Kind,
    RobustnessSettings,
    examine_robustness,
    examined_rows,
    read_examined,
    spoiled_score,
)
from models.learning.attacks import PGD_STEPS, Logits, fgsm, pgd
from models.learning.checkpoint import Checkpoint, decode_checkpoint, rebuild_trunk
from models.learning.classifier import linear_layers
from models.networks.registry import UprightTrunk
from models.parallel import OnProgress, map_in_threads, no_progress
from models.serving.export import served_layers

_ROWS_AT_ONCE = 16
Pixels = NDArray[np.uint8]
Attack = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


class Model(NamedTuple):
    """What is served, as ONNX bytes, and the bytes of the checkpoint that it came from."""

    onnx_bytes: bytes
    checkpoint_bytes: bytes


def examine_with_attacks(
    folder: Path,
    split: pa.Table,
    model: Model,
    settings: RobustnessSettings,
    seed: int = 0,
    on_progress: OnProgress = no_progress,
) -> RobustnessReport | None:
    """The report of `examine_robustness`, with attacks where the settings ask for them, on the same pictures.

    Args:
        folder: where the pictures lie.
        split: table SPLIT.
        model: what is judged; corruptions meet the served graph, attacks the network as it was trained.
        settings: how many pictures, which attacks.
        seed: of the sample and of all chance.
        on_progress: is told after each picture that was spoiled.

    Raises:
        ArtifactChanged: a picture has other bytes than at the scan.
    """
    rng = np.random.default_rng(seed)
    report = examine_robustness(folder, split, model.onnx_bytes, settings, rng, on_progress)
    if report is None or not settings.attacks:
        return report
    checkpoint = decode_checkpoint(model.checkpoint_bytes)
    rows = examined_rows(split, checkpoint.card, settings.pictures, np.random.default_rng(seed))
    preprocess, classes = checkpoint.card.preprocess, checkpoint.card.classes
    pixels = np.stack(
        list(map_in_threads(lambda row: preprocess.apply(read_examined(folder, row, preprocess.draft_px)), rows))
    )
    true_index = np.array([classes.index(row["label"]) for row in rows], dtype=np.int64)
    scores = attack_scores(checkpoint, pixels, true_index, settings.attacks, seed)
    return report.model_copy(update={"attacks": scores})


def attack_scores(
    checkpoint: Checkpoint, pixels: Pixels, true_index: NDArray[np.int64], changes: tuple[float, ...], seed: int
) -> tuple[CorruptionScore, ...]:
    """What FGSM and PGD of 10 steps leave: `fgsm` and `pgd_10` by every change, whose number is the severity.

    Attacked pixels are not rounded to whole numbers.

    Args:
        checkpoint: the trained network, with its head, correction and calibration.
        pixels: (N, H, W, 3) uint8, as the contract makes them.
        true_index: (N,) class positions.
        changes: largest ones of a pixel, of 255.
        seed: of random starts.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    logits_of = attackable(checkpoint, device)
    clean = _answers(logits_of, lambda seen, _: seen, pixels, true_index, device)
    scores = []
    for change in changes:
        for name, attack in _attacks(logits_of, change, torch.Generator().manual_seed(seed)).items():
            answers = _answers(logits_of, attack, pixels, true_index, device)
            scores.append(spoiled_score(Kind(name, change), true_index, answers, clean, checkpoint.card.classes))
    return tuple(scores)


def attackable(checkpoint: Checkpoint, device: torch.device) -> Logits:
    """The network with the head that is served, from (N, H, W, 3) float pixels in 0..255 to (N, K) logits."""
    body = UprightTrunk(rebuild_trunk(checkpoint), checkpoint.card.channels).eval().requires_grad_(False).to(device)
    head = linear_layers(served_layers(checkpoint.layers, checkpoint.card)).eval().requires_grad_(False).to(device)
    return lambda pixels: head(body(pixels))


def _attacks(logits_of: Logits, change: float, random: torch.Generator) -> dict[str, Attack]:
    return {
        "fgsm": lambda pixels, true_index: fgsm(logits_of, pixels, true_index, change),
        f"pgd_{PGD_STEPS}": lambda pixels, true_index: pgd(logits_of, pixels, true_index, change, random),
    }


def _answers(
    logits_of: Logits, attack: Attack, pixels: Pixels, true_index: NDArray[np.int64], device: torch.device
) -> NDArray[np.int64]:
    """(N,) class positions that the network gives attacked pictures, a few pictures at once."""
    found = []
    for start in range(0, len(pixels), _ROWS_AT_ONCE):
        part = slice(start, start + _ROWS_AT_ONCE)
        attacked = attack(torch.from_numpy(pixels[part]).to(device), torch.from_numpy(true_index[part]).to(device))
        with torch.inference_mode():
            found.append(logits_of(attacked).argmax(1).cpu().numpy())
    return np.concatenate(found)
