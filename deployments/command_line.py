"""`sortline` with what needs the deployments: all commands of `flows`, and `up` and `deployments`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from flows.command_line import app, main
from flows.options import DEFAULT_POOL, DEFAULT_WORKSPACE, JsonOption, WorkspaceOption
from flows.terminal import open_workspace, print_json, say

__all__ = ["app", "main"]
deployments_app = typer.Typer(no_args_is_help=True, help="What a Prefect server has of ours, and what the files say.")
HomeOption = Annotated[Path, typer.Option("--home", help="Folder that runs start in; relative folders are below it.")]
PoolOption = Annotated[str, typer.Option("--pool", envvar="SORTLINEDEFAULT_POOL", help="Work pool of the runs.")]
NotifyOption = Annotated[
    str, typer.Option("--notify", envvar="SORTLINE_NOTIFY", help="Address that is told of failures, drift, candidates.")
]
_HERE = Path()


@app.command()
def up(
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    home: HomeOption = _HERE,
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", help="Port of server and pages.", min=1, max=65_535)] = 4200,
    notify: NotifyOption = "",
) -> None:
    """Prefect server, worker and all deployments on this machine, until Ctrl-C; everything is kept in the workspace."""
    from deployments.definitions import place_variables
    from deployments.up import Installation, keep_up

    installation = Installation(open_workspace(workspace), home.absolute(), host, port, DEFAULT_POOL)
    variables = place_variables(installation.workspace, installation.home, DEFAULT_POOL)

    def deploy(environment: Mapping[str, str]) -> None:
        os.environ.update(environment)
        _apply(variables, notify)

    say("Starting the server; the first time takes half a minute.")
    keep_up(installation, deploy, say)


@deployments_app.command("apply")
def apply_deployments(
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    home: HomeOption = _HERE,
    pool: PoolOption = DEFAULT_POOL,
    notify: NotifyOption = "",
) -> None:
    """Makes the server at PREFECT_API_URL what the files say."""
    from deployments.definitions import place_variables

    _apply(place_variables(open_workspace(workspace), home.absolute(), pool), notify)
    say("The server has what the files say.")


@deployments_app.command("diff")
def show_differences(
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    home: HomeOption = _HERE,
    pool: PoolOption = DEFAULT_POOL,
    as_json: JsonOption = False,
) -> None:
    """What the server at PREFECT_API_URL has otherwise than the files; exit code 1 where something is."""
    from prefect.client.orchestration import get_client

    from deployments.compare import differences
    from deployments.definitions import place_variables, read_automations, read_deployments

    variables = place_variables(open_workspace(workspace), home.absolute(), pool)
    with get_client(sync_client=True) as client:
        found = differences(client, read_deployments(variables), read_automations())
    for sentence in found or ["The server has what the files say."]:
        say(sentence)
    if as_json:
        print_json({"differences": found})
    raise typer.Exit(1 if found else 0)


def _apply(variables: dict[str, str], notify: str) -> None:
    from prefect.client.orchestration import get_client

    from deployments.apply import apply_files

    with get_client(sync_client=True) as client:
        apply_files(client, variables, notify)


app.add_typer(deployments_app, name="deployments")

if __name__ == "__main__":
    main()
