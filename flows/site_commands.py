"""`sortline adapt`, and the commands below `sortline sites`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from flows.answers import groups_of
from flows.options import (
    DEFAULT_WORKSPACE,
    ByOption,
    FolderArgument,
    JsonOption,
    NameOption,
    ReasonOption,
    SetOption,
    WorkspaceOption,
)
from flows.registry_answers import deed_now
from flows.settings import ADAPT_GROUPS
from flows.terminal import open_workspace, print_json, progress_bars, say, show_table
from models.artifacts.workspace import Workspace
from models.data.listing import require_folder

sites_app = typer.Typer(no_args_is_help=True, help="Sites: what a champion was adapted to.")
SiteOption = Annotated[str, typer.Option("--site", help="Name of the site: a-z, 0-9 and dashes.")]
SiteArgument = Annotated[str, typer.Argument(help="Name of the site.", show_default=False)]
UnlabelledOption = Annotated[
    Path | None, typer.Option("--unlabelled", help="More pictures of the site, without labels.", show_default=False)
]
ToOption = Annotated[str, typer.Option("--to", help="How the digest of an earlier one begins; else the one before.")]


def adapt(
    folder: FolderArgument,
    name: NameOption,
    site: SiteOption,
    unlabelled: UnlabelledOption = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Adapts a champion to a site by its pictures, labelled or not; exit code 1 where it is not shown to be better."""
    from models.adaptation.adapt_folder import AdaptJob, adapt_folder
    from models.reports.site_page import site_rows

    groups = groups_of(ADAPT_GROUPS, folder, [workspace], assignments or [])
    more = require_folder(unlabelled) if unlabelled else None
    place = open_workspace(workspace)
    job = AdaptJob(folder.absolute(), more, name, site, groups["scan"], groups["adapt"])
    with progress_bars() as sink:
        report = adapt_folder(job, place, datetime.now(UTC), sink)
    show_table(f"{name} at {site}", ("", ""), [list(row) for row in site_rows(report.record)])
    say(f"{'Accepted' if report.is_accepted else 'Not accepted'}: {report.reason}.")
    say(f"Page: {report.page}")
    if as_json:
        print_json(report.model_dump(mode="json"))
    raise typer.Exit(0 if report.is_accepted else 1)


@sites_app.command("list")
def list_sites(name: NameOption, workspace: WorkspaceOption = DEFAULT_WORKSPACE, as_json: JsonOption = False) -> None:
    """The sites that a model is adapted to."""
    rows = site_answers(open_workspace(workspace), name)
    columns = ("site", "adaptation", "bundle", "since", "method", "champion", "adapted")
    show_table(f"Sites of {name}", columns, [[str(row[c]) for c in columns] for row in rows])
    if as_json:
        print_json({"name": name, "sites": rows})


@sites_app.command("show")
def show_site(
    site: SiteArgument, name: NameOption, workspace: WorkspaceOption = DEFAULT_WORKSPACE, as_json: JsonOption = False
) -> None:
    """What scores at a site, and all adaptations before it."""
    from models.reports.site_page import site_rows
    from models.serving.registry import Registry
    from models.serving.sites import current_adaptation, open_site_file

    registry = Registry(open_workspace(workspace))
    events = [event for event in registry.history(name) if event.site == site]
    found = open_site_file(registry, name, current_adaptation(registry, name, site))
    show_table(f"{name} at {site}", ("", ""), [list(row) for row in site_rows(found.record)])
    rows = [[e.at[:16], e.event, e.site_sha256[:12], e.by, e.reason] for e in events]
    show_table("History", ("at", "event", "adaptation", "by", "reason"), rows)
    if as_json:
        told = [event.model_dump(mode="json") for event in events]
        print_json({"site_sha256": found.sha256, **found.record.model_dump(mode="json"), "history": told})


@sites_app.command("remove")
def remove(
    site: SiteArgument,
    name: NameOption,
    by: ByOption = "",
    reason: ReasonOption = "removed by hand",
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    as_json: JsonOption = False,
) -> None:
    """Lets an adaptation score no longer; its file stays, and `restore` brings it back."""
    from models.serving.registry import Registry
    from models.serving.sites import remove_site

    gone = remove_site(Registry(open_workspace(workspace)), name, site, deed_now(by, reason))
    say(f"{site} of {name} has no adaptation any more ({gone[:12]} is kept).")
    if as_json:
        print_json({"name": name, "site": site, "removed": gone})


@sites_app.command("restore")
def restore(
    site: SiteArgument,
    name: NameOption,
    to: ToOption = "",
    by: ByOption = "",
    reason: ReasonOption = "restored by hand",
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    as_json: JsonOption = False,
) -> None:
    """Lets an earlier adaptation of a site score again, after its file and bundle have proved whole."""
    from models.serving.registry import Registry
    from models.serving.sites import restore_site

    found = restore_site(Registry(open_workspace(workspace)), name, site, to, deed_now(by, reason))
    say(f"{found[:12]} scores at {site} again.")
    if as_json:
        print_json({"name": name, "site": site, "restored": found})


def site_answers(workspace: Workspace, name: str) -> list[dict[str, object]]:
    """One row a site that a model is adapted to."""
    from models.serving.registry import Registry
    from models.serving.sites import open_site_file
    from models.serving.standing import adaptations

    registry = Registry(workspace)
    rows: list[dict[str, object]] = []
    for site, event in adaptations(registry.history(name)).items():
        record = open_site_file(registry, name, event).record
        proof = record.proof
        rows.append(
            {
                "site": site,
                "adaptation": event.site_sha256[:12],
                "bundle": event.bundle_sha256[:12],
                "since": event.at[:16],
                "method": record.method,
                "champion": round(proof.base, 3) if proof else None,
                "adapted": round(proof.adapted, 3) if proof else None,
            }
        )
    return rows
