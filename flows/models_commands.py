"""The commands below `sortline models`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows import answers
from flows.options import DEFAULT_WORKSPACE, JsonOption, SetOption, WorkspaceOption
from flows.terminal import open_workspace, print_json, say, show_table
from models.settings import parse_settings

models_app = typer.Typer(no_args_is_help=True, help="Models, their champions and bundles.")
NameArgument = Annotated[str, typer.Argument(help="Name of the model.", show_default=False)]
KeyArgument = Annotated[Path, typer.Argument(help="File of the private key.", show_default=False)]
BundleOption = Annotated[
    Path | None, typer.Option("--bundle", help="Folder of a bundle; else the champion of the model.")
]


@models_app.command("list")
def list_models(workspace: WorkspaceOption = DEFAULT_WORKSPACE, as_json: JsonOption = False) -> None:
    """All models of the workspace and their champions."""
    rows = answers.model_rows(open_workspace(workspace))
    columns = ("name", "champion", "macro_f1", "since")
    show_table("Models", columns, [[str(row[c]) for c in columns] for row in rows])
    if as_json:
        print_json({"models": rows})


@models_app.command("show")
def show_model(name: NameArgument, workspace: WorkspaceOption = DEFAULT_WORKSPACE, as_json: JsonOption = False) -> None:
    """The champion's card and numbers, and the model's history."""
    answer = answers.model_answer(open_workspace(workspace), name)
    answers.show_scores(answer)
    show_table("History", ("at", "event", "bundle", "reason"), answers.history_rows(answer))
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
    """Whether a bundle may be believed: digests, signature, operators, a run within limits; exit code 1 if not."""
    from models.serving.signature import SignatureSettings
    from models.serving.verify import verify_bundle

    settings = parse_settings({"signature": SignatureSettings}, assignments or [])["signature"]
    folder = bundle or answers.champion_folder(open_workspace(workspace), name)
    checks = verify_bundle(folder, settings)
    is_good = all(c.is_good for c in checks)
    show_table("Bundle", ("check", "good", "found"), [[c.name, "yes" if c.is_good else "NO", c.found] for c in checks])
    if as_json:
        print_json({"bundle": str(folder), "good": is_good, "checks": [c._asdict() for c in checks]})
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
