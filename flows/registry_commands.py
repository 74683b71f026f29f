"""The commands below `sortline models` that say or decide which bundle scores."""

from __future__ import annotations

from typing import Annotated

import typer

from flows import registry_answers
from flows.options import DEFAULT_WORKSPACE, ByOption, JsonOption, ReasonOption, WorkspaceOption
from flows.registry_answers import deed_now
from flows.terminal import open_workspace, print_json, say, show_table
from models.serving.retention import KEPT_CHAMPIONS

registry_app = typer.Typer()
NameArgument = Annotated[str, typer.Argument(help="Name of the model.", show_default=False)]
CandidateOption = Annotated[
    str, typer.Option("--bundle", help="How the candidate's digest begins; another one that waits by now is refused.")
]
ToOption = Annotated[
    str, typer.Option("--to", help="How the digest of an earlier champion begins; else the one before.")
]
UriOption = Annotated[
    str, typer.Option("--uri", help="Of MLflow: http://host:5000, or sqlite:////path/mlflow.db.", show_default=False)
]
VersionOption = Annotated[str, typer.Option("--version", help="Of the model in MLflow's registry.", show_default=False)]
KeepOption = Annotated[int, typer.Option("--keep", help="Champions before the present one that are kept, at least 1.")]


@registry_app.command("history")
def show_history(
    name: NameArgument, workspace: WorkspaceOption = DEFAULT_WORKSPACE, as_json: JsonOption = False
) -> None:
    """Who did what with a model, when and why; refuses a history that was altered."""
    answer = registry_answers.history_answer(open_workspace(workspace), name)
    columns = ("event", "at", "what", "bundle", "by", "reason")
    show_table(f"History of {name}", columns, registry_answers.event_rows(answer))
    first = answer["linked_from"]
    say(f"Each event from {first} on names the line before it." if first else "No event names the line before it.")
    if as_json:
        print_json(answer)


@registry_app.command("approve")
def approve_model(
    name: NameArgument,
    bundle: CandidateOption = "",
    by: ByOption = "",
    reason: ReasonOption = "approved by hand",
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    as_json: JsonOption = False,
) -> None:
    """Makes the candidate that waits champion."""
    place = open_workspace(workspace)
    answer = registry_answers.decision_answer(place, name, "approve", deed_now(by, reason), bundle)
    say(f"{answer['bundle_sha256'][:12]} is champion of {name}.")
    if as_json:
        print_json(answer)


@registry_app.command("reject")
def reject_model(
    name: NameArgument,
    bundle: CandidateOption = "",
    by: ByOption = "",
    reason: ReasonOption = "rejected by hand",
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    as_json: JsonOption = False,
) -> None:
    """Lets the candidate wait no longer; the champion stays."""
    place = open_workspace(workspace)
    answer = registry_answers.decision_answer(place, name, "reject", deed_now(by, reason), bundle)
    say(f"{answer['bundle_sha256'][:12]} of {name} was rejected; the champion stays.")
    if as_json:
        print_json(answer)


@registry_app.command("rollback")
def roll_back_model(
    name: NameArgument,
    to: ToOption = "",
    by: ByOption = "",
    reason: ReasonOption = "rolled back by hand",
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    as_json: JsonOption = False,
) -> None:
    """Makes the champion before champion again, after its bundle has proved whole; the next scoring run uses it."""
    answer = registry_answers.rollback_answer(open_workspace(workspace), name, deed_now(by, reason), to)
    say(f"{answer['champion'][:12]} is champion of {name} again; the next scoring run uses it.")
    if as_json:
        print_json(answer)


@registry_app.command("retire")
def retire_bundles(
    name: NameArgument,
    keep: KeepOption = KEPT_CHAMPIONS,
    by: ByOption = "",
    reason: ReasonOption = "retired by hand",
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    as_json: JsonOption = False,
) -> None:
    """Deletes old bundles; never the champion, the candidate, or what a rollback goes back to."""
    answer = registry_answers.retention_answer(open_workspace(workspace), name, deed_now(by, reason), keep)
    say(f"{len(answer['retired'])} bundles of {name} deleted, {answer['freed_bytes'] / 1e6:.1f} MB freed.")
    if as_json:
        print_json(answer)


@registry_app.command("export-mlflow")
def export_to_mlflow(
    name: NameArgument, uri: UriOption, workspace: WorkspaceOption = DEFAULT_WORKSPACE, as_json: JsonOption = False
) -> None:
    """Puts the champion into MLflow's registry, under the same name."""
    answer = registry_answers.export_answer(open_workspace(workspace), name, uri)
    say(f"{answer['bundle_sha256'][:12]} is version {answer['version']} of {name} in MLflow.")
    if as_json:
        print_json(answer)


@registry_app.command("import-mlflow")
def import_from_mlflow(
    name: NameArgument,
    uri: UriOption,
    version: VersionOption,
    by: ByOption = "",
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    as_json: JsonOption = False,
) -> None:
    """Takes a bundle out of MLflow's registry, checks it, and lets it wait as candidate."""
    place = open_workspace(workspace)
    answer = registry_answers.import_answer(place, name, (uri, version), deed_now(by, "imported by hand"))
    say(f"{answer['bundle_sha256'][:12]} waits: `sortline models approve {name}`.")
    if as_json:
        print_json(answer)
