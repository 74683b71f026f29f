"""Somebody's own flow: two folders by one model, and a file that a colleague opens in the morning."""

from pathlib import Path

from prefect import flow
from prefect.runtime import flow_run

from models.artifacts.places import place_of
from models.artifacts.records import ScoreSummary
from models.artifacts.ref import read_record
from models.artifacts.workspace import Workspace
from models.serving.reader import open_output
from models.serving.scoring_settings import ScoringSettings
from models.serving.views.csv_table import write_csv
from tasks.score_folder import score_folder


@flow
def nightly_report(folders: dict[str, str], name: str, workspace_root: Path) -> dict[str, int]:
    """Rows that are new in each folder; beside each output lies its table as CSV."""
    workspace, found = Workspace.open(workspace_root), {}
    for folder, out in folders.items():
        ref = score_folder(folder, name, out, ScoringSettings(), str(flow_run.id), workspace)
        found[folder] = read_record(ref, ScoreSummary).rows_scored
        write_csv(open_output(place_of(out)), Path(f"{out}.csv"))
    return found
