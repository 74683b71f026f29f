"""The whole line on real pictures: train on labelled solar cells, then score an inbox with damaged files in it."""

from __future__ import annotations

from pathlib import Path

from prefect import flow

from flows.score_folder import score_folder
from flows.train_classifier import train_classifier
from models.artifacts.ref import ArtifactRef
from models.artifacts.workspace import Workspace
from models.learning.training_settings import TrainingSettings
from tasks.run_refs import RunRefs
from tasks.write_demo_folders import write_demo_folders
from tasks.write_report import write_report

DEMO_MODEL = "solar-cells"


def model_name(training: TrainingSettings) -> str:
    """One line of champions a network, so that trying another does not have to beat the first."""
    return f"{DEMO_MODEL}-{training.network.replace('_', '-')}"


@flow(name="run-demo", persist_result=False)
def run_demo(
    workspace_root: Path = Path("workspace"),
    training: TrainingSettings = TrainingSettings(),  # noqa: B008 - frozen, and the form shows it
) -> tuple[RunRefs, ArtifactRef]:
    """Addresses of all that the demo made, and of its report.

    Args:
        workspace_root: Folder that holds all that Sortline writes.
        training: What is trained, towards which number.
    """
    workspace = Workspace.open(workspace_root)
    folders = write_demo_folders(workspace)
    name = model_name(training)
    trained = train_classifier(folders.labelled, name, workspace_root, training=training)
    summary, drift, _ = score_folder(str(folders.inbox), name, str(workspace.demo_dir / "predictions"), workspace_root)
    refs = trained.model_copy(update={"summary": summary, "drift": drift})
    return refs, write_report(folders.labelled, refs, workspace)
