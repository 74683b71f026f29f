"""The commands below `sortline models`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows import answers, registry_answers
from flows.options import DEFAULT_WORKSPACE, JsonOption, SetOption, WorkspaceOption
from flows.registry_commands import NameArgument, registry_app
from flows.terminal import open_workspace, print_json, say, show_table
from models.settings import parse_settings

models_app = typer.Typer(no_args_is_help=True, help="Models, their champions and bundles.")
models_app.add_typer(registry_app)
KeyArgument = Annotated[Path, typer.Argument(help="File of the private key.", show_default=False)]
BundleOption = Annotated[
    Path | None, typer.Option("--bundle", help="Folder of a bundle; else the champion of the model.")
]


@models_app.command("list")
def list_models(workspace: WorkspaceOption = DEFAULT_WORKSPACE, as_json: JsonOption = False) -> None:
    """All models of the workspace and their champions."""
    rows = answers.model_rows(open_workspace(workspace))
    columns = ("name", "champion", "macro_f1", "since", "candidate")
    show_table("Models", columns, [[str(row[c]) for c in columns] for row in rows])
    if as_json:
        print_json({"models": rows})


@models_app.command("show")
def show_model(name: NameArgument, workspace: WorkspaceOption = DEFAULT_WORKSPACE, as_json: JsonOption = False) -> None:
    """The champion's card and numbers, and the model's history."""
    answer = answers.model_answer(open_workspace(workspace), name)
    answers.show_scores(answer)
    if answer["sites"]:
        rows = [[site, sha256[:12]] for site, sha256 in answer["sites"].items()]
        show_table("Sites", ("site", "adaptation"), rows)
    show_table("History", ("at", "event", "bundle", "by", "reason"), answers.history_rows(answer))
    if as_json:
        print_json(answer)


@models_app.command("verify")
def verify_model(
    name: NameArgument,
    bundle: BundleOption = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Whether a model may be believed: its history, and its champion's bundle or another one; exit code 1 if not."""
    from models.serving.signature import SignatureSettings
    from models.serving.verify import verify_bundle

    settings = parse_settings({"signature": SignatureSettings}, assignments or [])["signature"]
    place = open_workspace(workspace)
    history = [] if bundle else registry_answers.registry_checks(place, name)
    # An altered history names no champion whose bundle could be looked at.
    folder = bundle or (answers.champion_folder(place, name) if all(c.is_good for c in history[:2]) else None)
    checks = verify_bundle(folder, settings) if folder else []
    for title, found in (("History", history), ("Bundle", checks)):
        show_table(title, ("check", "good", "found"), [[c.name, "yes" if c.is_good else "NO", c.found] for c in found])
    is_good = all(c.is_good for c in (*history, *checks))
    if as_json:
        told = {"registry": [c._asdict() for c in history], "checks": [c._asdict() for c in checks]}
        print_json({"bundle": str(folder) if folder else None, "good": is_good, **told})
    raise typer.Exit(0 if is_good else 1)


@models_app.command("keygen")
def make_key(path: KeyArgument) -> None:
    """Makes a key to sign bundles with: the private one for its owner only, the public one beside it."""
    from models.serving import signature

    say(f"Key {signature.make_key(path)}: {path} stays with you; {path}.pub goes to the machines that score.")


@models_app.command("sign")
def sign_model(
    name: NameArgument, key: KeyArgument, bundle: BundleOption = None, workspace: WorkspaceOption = DEFAULT_WORKSPACE
) -> None:
    """Signs the champion's bundle, or another one, after reading all of it."""
    from models.serving.bundle import read_bundle
    from models.serving.signature import sign_manifest

    folder = bundle or answers.champion_folder(open_workspace(workspace), name)
    read = read_bundle(folder, signature=None)
    say(f"{folder} is signed by {sign_manifest(folder, key, read.sha256)}")
