"""A candidate bundle and the champion over the same test pictures, and the verdict of the gates."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from models.artifacts.records import Verdict
from models.learning.evaluate import evaluate_split, evaluation_arrays
from models.parallel import OnProgress, no_progress
from models.serving.bundle import Bundle, read_bundle
from models.serving.registry import Registry
from validation.gates import Comparison, GateSettings
from validation.gates import judge_candidate as judge


def judge_bundle(
    bundle_folder: Path,
    folder: Path,
    split: pa.Table,
    registry: Registry,
    settings: GateSettings,
    on_progress: OnProgress = no_progress,
) -> Verdict:
    """Verdict on the bundle in `bundle_folder`; the champion is run over today's test pictures."""
    bundle = read_bundle(bundle_folder)
    name = bundle.card.name
    champion = registry.open_champion(name) if registry.champion(name) else None
    if champion is None or champion.sha256 == bundle.sha256:
        return judge(bundle.scorecard, False, None, settings)
    comparison = None
    # Under another split the champion has learned from today's test pictures, and would look too good.
    if (champion.card.classes, champion.card.split) == (bundle.card.classes, bundle.card.split):
        comparison = _compare(bundle, evaluate_split(folder, split, champion.onnx_bytes, on_progress))
    return judge(bundle.scorecard, True, comparison, settings)


def _compare(bundle: Bundle, champion_evaluation: pa.Table) -> Comparison:
    true_index, candidate = evaluation_arrays(bundle.baseline, bundle.card.classes)
    _, champion = evaluation_arrays(champion_evaluation, bundle.card.classes)
    return Comparison(true_index, candidate.argmax(1), champion.argmax(1))
