"""The commands below `sortline drift`: the newest batch of an output, and what became of the batches before."""

from __future__ import annotations

import typer

from flows.options import DEFAULT_WORKSPACE, JsonOption, NameOption, OutArgument, SetOption, WorkspaceOption
from flows.settings import DRIFT_GROUPS
from flows.terminal import open_workspace, print_json, say, show_table
from models.artifacts.records import DriftReport
from models.settings import parse_settings

drift_app = typer.Typer(no_args_is_help=True, help="Drift: whether pictures and answers are still what they were.")


@drift_app.command("show")
def show_drift(
    out: OutArgument,
    name: NameOption,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measures the newest batch of an output, with the settings given; exit code 1 where it drifted."""
    from models.drift.of_run import drift_of_output
    from models.reports.drift_report import file_drift
    from models.serving.registry import Registry

    settings = parse_settings(DRIFT_GROUPS, assignments or [])["drift"]
    place = open_workspace(workspace)
    report = drift_of_output(out.absolute(), Registry(place), name, settings)
    show_report(report)
    say(f"Page: {file_drift(place, report)}")
    if as_json:
        print_json({"status": report.status, **report.model_dump(mode="json")})
    raise typer.Exit(1 if report.status == "drift" else 0)


@drift_app.command("history")
def show_history(name: NameOption, workspace: WorkspaceOption = DEFAULT_WORKSPACE, as_json: JsonOption = False) -> None:
    """All measured batches of a model, oldest first."""
    from models.drift.history import read_history
    from models.serving.registry import check_name

    reports = read_history(open_workspace(workspace).drift_dir(check_name(name)))
    rows = [[r.at[:16], str(r.rows), r.status.replace("_", " "), moved(r), accuracy_text(r)] for r in reports]
    show_table(f"Batches of {name}", ("committed", "pictures", "status", "moved", "accuracy"), rows)
    if as_json:
        print_json({"batches": [report.model_dump(mode="json") for report in reports]})


def show_report(report: DriftReport) -> None:
    """Measures of a batch, and what is known of it without labels."""
    rows = [
        [m.name.replace("_", " "), m.against, m.status.replace("_", " "), _number(m.distance), _number(m.limit)]
        for m in report.measures
    ]
    show_table(f"{report.rows} scored pictures", ("measure", "against", "status", "distance", "limit"), rows)
    say(f"Accuracy without labels: {accuracy_text(report)}")
    mix = report.class_mix
    if mix and mix.shares:
        shares = [[s.label, f"{s.share:.3f} ({s.low:.3f} to {s.high:.3f})", f"{s.baseline:.3f}"] for s in mix.shares]
        show_table(f"Classes: {mix.status}", ("class", "now", "among the test pictures"), shares)
    if mix and mix.status == "shifted":
        wish = ",".join(f"{s.label}={s.share:.4f}" for s in mix.shares)
        say(f"To have scores corrected to this mix: --set scoring.class_prior={wish}")


def moved(report: DriftReport) -> str:
    """Measures that drifted."""
    return ", ".join(f"{m.name} ({m.against})" for m in report.measures if m.status == "drift") or "-"


def accuracy_text(report: DriftReport) -> str:
    """Estimated accuracy with its interval, or why there is none."""
    told = report.accuracy
    if told is None:
        return "-"
    if told.value is None or told.low is None or told.high is None:
        return f"{told.status.replace('_', ' ')}: {told.explanation}"
    return f"{told.value:.3f} ({told.low:.3f} to {told.high:.3f})"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
