"""A candidate bundle and the champion over the same test pictures, and the verdict of the gates."""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from models.artifacts.judging_records import RobustnessReport
from models.artifacts.records import ModelCard, Verdict
from models.artifacts.ref import ArtifactRef, read_record
from models.data.preprocess import Preprocess
from models.errors import ContractBroken
from models.judging.slices import all_slices
from models.learning.evaluate import evaluate_split, evaluation_arrays
from models.learning.evaluation_rows import label_arrays
from models.learning.multi_label_metrics import given_labels
from models.parallel import OnProgress, no_progress
from models.serving.bundle import Bundle, read_bundle
from models.serving.registry import Registry
from models.serving.session import ImageSession
from validation.evidence import Evidence
from validation.gate_settings import GateSettings
from validation.gates import judge_candidate
from validation.paired import Comparison, LabelComparison

_LATENCY_RUNS = 50
_WARM_UP_RUNS = 5


class CandidateJob(NamedTuple):
    """What is judged, and on what.

    Attributes:
        bundle_folder: the candidate's.
        folder: of the pictures.
        split: table SPLIT.
        robustness: what spoiled pictures cost the candidate; None where that was not examined.
    """

    bundle_folder: Path
    folder: Path
    split: pa.Table
    robustness: RobustnessReport | None = None


def judge_bundle(
    job: CandidateJob, registry: Registry, settings: GateSettings, on_progress: OnProgress = no_progress
) -> Verdict:
    """Verdict on a bundle; the champion is run over today's test pictures."""
    bundle = read_bundle(job.bundle_folder)
    name = bundle.card.name
    evidence = _evidence(bundle, job.robustness, settings)
    champion = registry.open_champion(name) if registry.champion(name) else None
    if champion is None or champion.sha256 == bundle.sha256:
        return judge_candidate(evidence, "same_bundle" if champion else "cold_start", settings)
    # Under another split the champion has learned from today's test pictures, and would look too good.
    if _question(champion.card) == _question(bundle.card):
        theirs = evaluate_split(job.folder, job.split, champion.onnx_bytes, on_progress)
        evidence = evidence._replace(comparison=_compare(bundle, theirs))
    return judge_candidate(evidence, "challenger", settings)


def open_robustness(report: ArtifactRef | None) -> RobustnessReport | None:
    """The report behind an address, its digest checked; None where there is none."""
    return read_record(report, RobustnessReport) if report else None


def measure_latency_ms(onnx_bytes: bytes, preprocess: Preprocess, runs: int = _LATENCY_RUNS) -> float:
    """Median milliseconds of one picture through a model, on one thread of this machine, as scoring runs it.

    Decoding and resizing are not in it.
    """
    session = ImageSession(onnx_bytes)
    shape = (preprocess.height_px, preprocess.width_px, 3)
    pixels = np.random.default_rng(0).integers(256, size=shape, dtype=np.uint8)
    took_ms = []
    for _ in range(_WARM_UP_RUNS + runs):
        started = time.perf_counter()
        session.run(pixels)
        took_ms.append((time.perf_counter() - started) * 1000)
    return statistics.median(took_ms[_WARM_UP_RUNS:])


def _evidence(bundle: Bundle, robustness: RobustnessReport | None, settings: GateSettings) -> Evidence:
    is_timed = settings.max_latency_ms > 0 and settings.severity.latency_kept != "off"
    return Evidence(
        scorecard=bundle.scorecard,
        objective_name=bundle.card.correction.objective_name,
        tune_objective=bundle.card.tune_objective,
        size_bytes=len(bundle.onnx_bytes),
        latency_ms=measure_latency_ms(bundle.onnx_bytes, bundle.card.preprocess) if is_timed else None,
        robustness=robustness,
    )


def _question(card: ModelCard) -> tuple[object, ...]:
    """What two models must share so that their answers can be compared."""
    return card.task, card.classes, card.split


def _compare(bundle: Bundle, theirs: pa.Table) -> Comparison | LabelComparison:
    """Both models' answers, row by row."""
    ours, classes = bundle.baseline, bundle.card.classes
    if not ours["image_id"].equals(theirs["image_id"]):
        raise ContractBroken(
            f"the candidate was evaluated on {ours.num_rows} pictures, the split has {theirs.num_rows} for test",
            "the same pictures in the same order",
            "Judge it with the split that it was trained with.",
        )
    groups, slices = theirs["group_id"].to_pylist(), all_slices(theirs)
    if bundle.card.task == "multi_label":
        targets, candidate = label_arrays(ours, classes)
        champion = label_arrays(theirs, classes)[1]
        return LabelComparison(targets, given_labels(candidate), given_labels(champion), groups, slices)
    true_index, probabilities = evaluation_arrays(ours, classes)
    champion_index = evaluation_arrays(theirs, classes)[1].argmax(1)
    return Comparison(true_index, probabilities.argmax(1), champion_index, len(classes), groups, slices)
