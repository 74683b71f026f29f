"""Somebody's own flow: a folder is scored, and where it drifted, a person is asked before anything is believed."""

from pathlib import Path

from prefect import flow, get_run_logger
from prefect.runtime import flow_run

from models.artifacts.records import DriftReport
from models.artifacts.ref import read_record
from models.artifacts.workspace import Workspace
from models.drift.settings import DriftSettings
from models.serving.scoring_settings import ScoringSettings
from tasks.measure_drift import measure_drift
from tasks.score_folder import score_folder


@flow
def second_opinion(folder: str, name: str, out: str, workspace_root: Path) -> str:
    """What moved; or `ok`, or `not_enough_data`, which is no reason to believe anything."""
    workspace = Workspace.open(workspace_root)
    summary = score_folder(folder, name, out, ScoringSettings(), str(flow_run.id), workspace)
    report = read_record(measure_drift(summary, DriftSettings(), workspace), DriftReport)
    moved = sorted({measure.name for measure in report.measures if measure.status == "drift"})
    if moved:
        get_run_logger().warning("look at %s before you believe %s", folder, ", ".join(moved))
    return ", ".join(moved) or report.status
