"""The chain under a real Prefect server: end to end, reused where nothing changed, healed where something is gone."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from pathlib import Path
from uuid import UUID

import pytest
from prefect import State
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId

from flows.audit_folder import audit_folder
from flows.score_folder import score_folder
from flows.train_classifier import train_classifier
from models.artifacts.records import DriftReport, Scorecard, ScoreSummary, Verdict
from models.artifacts.ref import open_checked, read_record
from models.artifacts.tables import SPLIT, decode_table
from models.artifacts.workspace import Workspace
from models.compression.settings import CompressionSettings
from models.errors import GateFailed
from models.serving.commit import OutputStore
from models.serving.registry import Registry
from tasks.run_refs import RunRefs
from tests.chain import FAST
from tests.pictures import write_inbox, write_labelled
from validation.gate_settings import GateSettings

pytestmark = pytest.mark.usefixtures("prefect_backend")
CACHED_TASKS = {
    "scan-folder",
    "judge-manifest",
    "assign-splits",
    "judge-split",
    "plan-resampling",
    "fit-classifier",
    "export-model",
    "compress-model",
    "fit-answers",
    "choose-golden",
    "evaluate-model",
    "make-scorecard",
    "examine-robustness",
}
UNCACHED_TASKS = {
    "list-folder",
    "recall-data",
    "remember-data",
    "assemble-bundle",
    "require-accepted",
    "judge-candidate",
    "write-report",
    "promote-champion",
}
# A verdict is asked for twice: on the data and on their division.
TASKS_OF_A_RUN = 22


NONE = CompressionSettings(int8=False)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace.open(tmp_path / "workspace")


def _train(folder: Path, workspace: Workspace, **settings: object) -> State[RunRefs]:
    state: State[RunRefs] = train_classifier(
        folder, "shapes", workspace.root, training=FAST, compression=NONE, return_state=True, **settings
    )
    return state


def _reused(state: State[RunRefs]) -> set[str]:
    """Names of the tasks of a run whose earlier answer was taken."""
    run_id = state.state_details.flow_run_id
    assert isinstance(run_id, UUID)
    wanted = FlowRunFilter(id=FlowRunFilterId(any_=[run_id]))
    with get_client(sync_client=True) as client:
        # The server writes the states of tasks down a moment after they happen.
        for _ in range(200):
            runs = client.read_task_runs(flow_run_filter=wanted)
            if len(runs) == TASKS_OF_A_RUN and all(r.state is not None and r.state.is_final() for r in runs):
                return {r.name.rsplit("-", 1)[0] for r in runs if r.state_name == "Cached"}
            time.sleep(0.1)
    raise AssertionError(f"{len(runs)} task runs, expected {TASKS_OF_A_RUN} that are over")


def _splits(refs: RunRefs) -> dict[str, str]:
    table = decode_table(open_checked(refs.split), SPLIT)
    return dict(zip(table["image_id"].to_pylist(), table["split"].to_pylist(), strict=True))


def test_folder_becomes_a_champion_that_scores_an_inbox(workspace: Workspace, tmp_path: Path) -> None:
    folder = write_labelled(tmp_path / "labelled", {"down": 80, "round": 40, "side": 30})
    first = _train(folder, workspace)
    refs = first.result()
    assert _reused(first) == set()
    scorecard = read_record(refs.scorecard, Scorecard)
    assert scorecard.served.balanced_accuracy.value > 0.8
    assert {(s.column, s.value) for s in scorecard.slices} == {("camera", "left"), ("camera", "right")}
    assert (workspace.reports_dir / "shapes.html").stat().st_size > 10_000
    assert Registry(workspace).open_champion("shapes").sha256 == refs.bundle.sha256

    # Now there is a champion whose classes the data are compared with; nothing else is new.
    second = _train(folder, workspace)
    assert _reused(second) == CACHED_TASKS - {"judge-manifest"}
    assert read_record(second.result().data_verdict, Verdict).not_asked.keys() == {"like_before", "labels_look_right"}
    again = _train(folder, workspace)
    assert _reused(again) == CACHED_TASKS
    assert again.result() == second.result()
    assert again.result().bundle == refs.bundle
    assert [e.event for e in Registry(workspace).history("shapes")] == ["promoted"]

    # What somebody deleted or broke is made anew, and only that.
    refs.split.path.unlink()
    refs.scorecard.path.write_bytes(b"{}")
    healed = _train(folder, workspace)
    assert _reused(healed) == CACHED_TASKS - {"assign-splits", "make-scorecard"}
    assert healed.result() == again.result()

    inbox = write_inbox(tmp_path / "inbox", 20, damaged=True)
    summary_ref, drift_ref, _ = score_folder(str(inbox), "shapes", str(tmp_path / "out"), workspace.root)
    summary = read_record(summary_ref, ScoreSummary)
    assert summary.files == summary.rows_scored == 26
    assert summary.rows_by_status == {"ok": 20, "too_large": 1, "unreadable": 3, "unsupported": 2}
    rows = OutputStore(tmp_path / "out").read().to_pylist()
    assert Counter(row["bundle_sha256"] for row in rows) == {refs.bundle.sha256: 26}
    assert read_record(drift_ref, DriftReport).status == "not_enough_data"

    # A new picture changes the data, so everything behind the scan runs again.
    shutil.copy(inbox / "picture-0000.png", folder / "down" / "new.png")
    grown = _train(folder, workspace, gate=GateSettings(relation="not_worse"))
    assert _reused(grown) == set()
    # ... but moves no picture: the new one alone was divided.
    before, after = (_splits(state.result()) for state in (again, grown))
    assert before.items() < after.items()
    assert len(after) == len(before) + 1
    verdict = read_record(grown.result().data_verdict, Verdict)
    assert "like_before" in {finding.rule for finding in verdict.findings}, "there is something to compare with now"


def test_refused_candidate_stays_out_and_is_remembered(workspace: Workspace, tmp_path: Path) -> None:
    folder = write_labelled(tmp_path / "labelled", {"down": 60})
    (folder / "down").rename(folder / "also-down")
    write_labelled(folder, {"down": 60}, seed=1)
    with pytest.raises(GateFailed, match=r"better_than_guessing failed: balanced accuracy 0\.\d+, lower bound 0\.\d+"):
        _train(folder, workspace).result()
    registry = Registry(workspace)
    assert registry.champion("shapes") is None
    assert [event.event for event in registry.history("shapes")] == ["refused"]
    assert (workspace.reports_dir / "shapes.html").exists(), "the report says why"


def test_audit_fails_where_a_critical_rule_does(workspace: Workspace, tmp_path: Path) -> None:
    folder = write_labelled(tmp_path / "labelled", {"down": 30})
    with pytest.raises(GateFailed, match="at_least_two_classes failed"):
        audit_folder(folder, workspace.root)
    write_labelled(folder, {"side": 30}, seed=5)
    assert audit_folder(folder, workspace.root).kind == "verdict"
