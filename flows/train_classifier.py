"""From a labelled folder to a champion."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from prefect import flow

from flows.places import require_allowed
from models.artifacts.workspace import Workspace
from models.compression.settings import CompressionSettings
from models.data.resample import ResamplingSettings
from models.data.scan import ScanSettings
from models.data.split import SplitSettings
from models.judging.answer_settings import AnswerSettings
from models.judging.judging_settings import JudgingSettings
from models.judging.robustness import RobustnessSettings
from models.learning.training_settings import TrainingSettings
from tasks.assemble_bundle import assemble_bundle
from tasks.assign_splits import assign_splits
from tasks.choose_golden import choose_golden
from tasks.compress_model import compress_model
from tasks.evaluate_model import evaluate_model
from tasks.examine_robustness import examine_robustness
from tasks.export_model import export_model
from tasks.fit_answers import fit_answers
from tasks.fit_classifier import fit_classifier
from tasks.judge_candidate import judge_candidate
from tasks.judge_manifest import judge_manifest
from tasks.judge_split import judge_split
from tasks.list_folder import list_folder
from tasks.make_scorecard import make_scorecard
from tasks.plan_resampling import plan_resampling
from tasks.promote_champion import promote_champion
from tasks.recall_data import recall_data
from tasks.remember_data import remember_data
from tasks.require_accepted import require_accepted
from tasks.run_refs import RunRefs
from tasks.scan_folder import scan_folder
from tasks.tell_scorecard import tell_scorecard
from tasks.write_report import write_report
from validation.gate_settings import GateSettings
from validation.suites import ValidationSettings
from validation.verdicts import ApprovalSettings


@flow(name="train-classifier", persist_result=False)
def train_classifier(
    folder: Path,
    name: str,
    workspace_root: Path = Path("workspace"),
    scan: ScanSettings = ScanSettings(),  # noqa: B008 - frozen, and the form shows it
    validation: ValidationSettings = ValidationSettings(),  # noqa: B008
    split: SplitSettings = SplitSettings(),  # noqa: B008
    resampling: ResamplingSettings = ResamplingSettings(),  # noqa: B008
    training: TrainingSettings = TrainingSettings(),  # noqa: B008
    compression: CompressionSettings = CompressionSettings(),  # noqa: B008
    answers: AnswerSettings = AnswerSettings(),  # noqa: B008
    judging: JudgingSettings = JudgingSettings(),  # noqa: B008
    robustness: RobustnessSettings = RobustnessSettings(),  # noqa: B008
    gate: GateSettings = GateSettings(),  # noqa: B008
    approval: ApprovalSettings = ApprovalSettings(),  # noqa: B008
) -> RunRefs:
    """Champion of a labelled folder, or a refusal that says why there is none.

    Args:
        folder: Pictures in one folder a class, or with a table of labels.
        name: Name of the model: a-z, 0-9 and dashes.
        workspace_root: Folder that holds all that Sortline writes.
        scan: How the folder is read.
        validation: What the folder has to look like.
        split: How pictures are divided.
        resampling: How much more often rare classes are drawn.
        training: What is trained, towards which number.
        compression: What may be served in the place of the exported model, and what that may cost.
        answers: When the model is to give several classes, none, or call a picture foreign.
        judging: What its deployment states: how frequent classes are, what mistakes cost.
        robustness: On how many spoiled pictures it is examined.
        gate: What the candidate has to reach.
        approval: Whether a person has the last word.
    """
    require_allowed(str(folder), str(workspace_root), *filter(None, [training.pseudo.folder]))
    workspace = Workspace.open(workspace_root)
    listing = list_folder(folder, scan, datetime.now(UTC), workspace)
    manifest = scan_folder(folder, listing, scan, workspace)
    before = recall_data(name, manifest, workspace)
    data_verdict = judge_manifest(manifest, before, validation, workspace)
    require_accepted(data_verdict)
    rows = assign_splits(manifest, split, before.split, workspace)
    split_verdict = judge_split(rows, validation, workspace)
    require_accepted(split_verdict)
    remember_data(name, manifest, rows, before, workspace)
    plan = plan_resampling(rows, resampling, training.imbalance, workspace)
    checkpoint = fit_classifier(name, folder, rows, plan, training, workspace)
    model = export_model(folder, checkpoint, rows, workspace)
    small = compress_model(folder, model, rows, plan, training, compression, workspace)
    served = fit_answers(folder, small, checkpoint, rows, answers, workspace)
    evaluation = evaluate_model(folder, served, rows, workspace)
    scorecard = make_scorecard(evaluation, served, rows, judging, workspace)
    golden = choose_golden(folder, served, rows, workspace)
    bundle = assemble_bundle(model, served, golden, scorecard, evaluation, workspace)
    spoiled = examine_robustness(folder, served, checkpoint, rows, robustness, workspace)
    gate_verdict = judge_candidate(folder, bundle, rows, gate, workspace, spoiled)
    refs = RunRefs(
        manifest=manifest,
        data_verdict=data_verdict,
        split_verdict=split_verdict,
        split=rows,
        plan=plan,
        scorecard=scorecard,
        bundle=bundle,
        gate_verdict=gate_verdict,
        robustness=spoiled,
        waits_for_approval=approval.by_person,
    )
    tell_scorecard(scorecard, write_report(folder, refs, workspace))
    promote_champion(bundle, gate_verdict, datetime.now(UTC), workspace, approval)
    return refs
