"""The command line: each command is one flow, or the one function that the flow's task calls.

Prefect, torch and Great Expectations are imported by the commands that need them: `score` and `models` start in
under a second.
"""

from __future__ import annotations

import warnings
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from flows import answers
from flows.bench_commands import bench
from flows.drift_commands import drift_app
from flows.explain_commands import explain
from flows.explore_commands import explore
from flows.forget_commands import forget
from flows.models_commands import models_app
from flows.options import (
    DEFAULT_WORKSPACE,
    FolderArgument,
    JsonOption,
    NameOption,
    PlaceArgument,
    SetOption,
    WorkspaceOption,
)
from flows.predictions_commands import predictions_app, verify_predictions
from flows.prefect_environment import has_server, prepare_prefect
from flows.pretrain_commands import pretrain
from flows.review_commands import corrections_app, review
from flows.settings import ALL_GROUPS, AUDIT_GROUPS, SCORE_GROUPS, TRAIN_GROUPS
from flows.site_commands import adapt, sites_app
from flows.terminal import SpokenGroup, leave, open_workspace, print_json, progress_bars, say, show_table
from models.artifacts.places import place_of
from models.learning.training_settings import TrainingSettings
from models.serving.registry import check_name
from models.settings import describe_settings, parse_settings

app = typer.Typer(
    cls=SpokenGroup,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="From labelled pictures to scored folders.",
)
app.add_typer(models_app, name="models")
app.add_typer(predictions_app, name="predictions")
app.add_typer(drift_app, name="drift")
app.add_typer(sites_app, name="sites")
app.add_typer(corrections_app, name="corrections")
app.command()(explore)
app.command()(forget)
app.command()(pretrain)
app.command()(adapt)
app.command()(review)
app.command()(explain)
app.command()(bench)

# A first look takes minutes on any machine: learning by the frozen network.
DEMO_SETTINGS = ("training.time_budget_minutes=2",)


@app.command()
def demo(
    workspace: WorkspaceOption = DEFAULT_WORKSPACE, assignments: SetOption = None, as_json: JsonOption = False
) -> None:
    """The whole line on real pictures of solar cells; the report's path comes last."""
    answers.require_training()
    chosen = parse_settings({"training": TrainingSettings}, [*DEMO_SETTINGS, *(assignments or [])])
    place = open_workspace(workspace)
    prepare_prefect(place)
    from flows.run_demo import run_demo
    from tasks.progress import progress_to

    say("Sortline demo: 2,624 real pictures of solar cells; the first run takes a few minutes.")
    with progress_bars() as sink, progress_to(sink):
        refs, report = run_demo(place.root, **chosen)
    answer = answers.demo_answer(refs, report)
    answers.show_demo(answer)
    if as_json:
        print_json(answer)


@app.command()
def train(
    folder: FolderArgument,
    name: NameOption,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Trains on a folder with one folder a class, judges the result, and makes it champion if it earned it."""
    check_name(name)
    answers.require_training()
    groups = answers.groups_of(TRAIN_GROUPS, folder, [workspace], assignments or [])
    place = open_workspace(workspace)
    prepare_prefect(place)
    from flows.train_classifier import train_classifier
    from tasks.progress import progress_to

    say(f"Training {name}; the report will be {place.reports_dir / name}.html")
    with progress_bars() as sink, progress_to(sink):
        refs = train_classifier(
            folder.absolute(),
            name,
            place.root,
            scan=groups["scan"],
            validation=groups["validation"],
            split=groups["split"],
            resampling=groups["resampling"],
            training=groups["training"],
            compression=groups["compression"],
            answers=groups["answers"],
            judging=groups["judging"],
            robustness=groups["robustness"],
            gate=groups["gate"],
            approval=groups["approval"],
        )
    answer = answers.train_answer(refs)
    answers.show_scores(answer)
    if as_json:
        print_json(answer)


@app.command()
def audit(
    folder: FolderArgument,
    name: Annotated[str, typer.Option("--name", help="Compare with this model's champion and last data.")] = "",
    label_errors: Annotated[
        bool, typer.Option("--label-errors", help="Look for labels that look wrong; needs the extras train and labels.")
    ] = False,
    quarantine: Annotated[
        list[str] | None, typer.Option("--quarantine", help="Rule whose offenders go to the list; repeatable.")
    ] = None,
    quarantine_list: Annotated[
        Path | None, typer.Option("--quarantine-list", help="The list; by default one a folder in the workspace.")
    ] = None,
    move_to: Annotated[Path | None, typer.Option("--move-to", help="Move quarantined files to this folder.")] = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Scans and judges a folder; exit code 1 where a critical rule fails."""
    wanted = answers.QuarantineWish(quarantine or [], quarantine_list, move_to)
    wanted.require_sense(folder)
    if name:
        check_name(name)
    if label_errors:
        answers.require_training("labels")
    groups = answers.groups_of(AUDIT_GROUPS, folder, [workspace], assignments or [])
    place = open_workspace(workspace)
    from validation.audit import AuditRequest, audit_folder

    with progress_bars() as sink:
        find = answers.label_error_finder(folder.absolute(), place, sink) if label_errors else None
        request = AuditRequest(folder.absolute(), name, groups["scan"], groups["validation"], find)
        refs = audit_folder(request, place, datetime.now(UTC), sink)
    answer = answers.audit_answer(refs)
    answers.show_audit(answer)
    answer |= answers.carry_out_quarantine(wanted, request.folder, refs, place)
    if as_json:
        print_json(answer)
    raise typer.Exit(0 if answer["accepted"] else 1)


@app.command()
def score(
    folder: PlaceArgument,
    name: NameOption,
    out: Annotated[
        Path, typer.Option("--out", help="Folder for the predictions, or its address in a store.", parser=place_of)
    ],
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    assignments: SetOption = None,
    site: Annotated[
        str, typer.Option("--site", help="Site whose adaptation answers; else the champion as it is.")
    ] = "",
    as_json: JsonOption = False,
    as_flow: Annotated[
        bool, typer.Option("--flow", help="As a Prefect flow run; so too with PREFECT_API_URL.")
    ] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Score nothing; check the predictions, and read the pictures again.")
    ] = False,
) -> None:
    """Gives every file of a folder its row; exit code 0 also when some pictures are bad: their rows say so."""
    if verify:
        verify_predictions(folder, out, as_json)
    named = [f"scoring.site={site}"] if site else []
    groups = answers.groups_of(SCORE_GROUPS, folder, [workspace, out], [*(assignments or []), *named])
    place = open_workspace(workspace)
    with progress_bars() as sink:
        if as_flow or has_server() or groups["spread"].runner != "none":
            prepare_prefect(place)
            answer = answers.score_by_flow(folder.absolute(), name, out.absolute(), place, groups, sink)
        else:
            answer = answers.score_directly(folder.absolute(), name, out.absolute(), place, groups, sink)
    answers.show_summary(answer)
    if as_json:
        print_json(answer)


@app.command()
def settings() -> None:
    """All settings with their defaults, for --set."""
    show_table("Settings", ("setting", "default", "meaning"), describe_settings(ALL_GROUPS))


@app.command()
def doctor(workspace: WorkspaceOption = DEFAULT_WORKSPACE, as_json: JsonOption = False) -> None:
    """Whether this machine is fit: decoder self-test, versions, cores, disk, permissions; exit code 1 if not."""
    from flows.doctor import examine

    checks = examine(open_workspace(workspace))
    show_table("Doctor", ("check", "fit", "found"), [[c.name, "yes" if c.fit else "NO", c.found] for c in checks])
    if as_json:
        print_json({"fit": all(c.fit for c in checks), "checks": [c._asdict() for c in checks]})
    raise typer.Exit(0 if all(c.fit for c in checks) else 1)


def main() -> None:
    """Entry point of `sortline`."""
    warnings.filterwarnings("ignore", module="PIL")  # odd metadata of some file; what matters becomes a row
    try:
        app()
    except SystemExit as done:
        leave(done.code if isinstance(done.code, int) else 0)


if __name__ == "__main__":
    main()
