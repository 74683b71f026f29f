"""A candidate bundle and the champion over the same test pictures, and the verdict of the gates."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from models.artifacts.records import ModelCard, Verdict
from models.learning.evaluate import evaluate_split, evaluation_arrays
from models.learning.evaluation_rows import label_arrays
from models.learning.multi_label_metrics import given_labels
from models.parallel import OnProgress, no_progress
from models.serving.bundle import Bundle, read_bundle
from models.serving.registry import Registry
from validation.gates import Comparison, GateSettings, LabelComparison
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
    if _question(champion.card) == _question(bundle.card):
        comparison = _compare(bundle, evaluate_split(folder, split, champion.onnx_bytes, on_progress))
    return judge(bundle.scorecard, True, comparison, settings)


def _question(card: ModelCard) -> tuple[object, ...]:
    """What two models must share so that their answers can be compared."""
    return card.task, card.classes, card.split


def _compare(bundle: Bundle, champion_evaluation: pa.Table) -> Comparison | LabelComparison:
    if bundle.card.task == "multi_label":
        targets, ours = label_arrays(bundle.baseline, bundle.card.classes)
        _, theirs = label_arrays(champion_evaluation, bundle.card.classes)
        return LabelComparison(targets, given_labels(ours), given_labels(theirs))
    true_index, candidate = evaluation_arrays(bundle.baseline, bundle.card.classes)
    _, champion = evaluation_arrays(champion_evaluation, bundle.card.classes)
    return Comparison(true_index, candidate.argmax(1), champion.argmax(1))
