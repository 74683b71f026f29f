"""`sortline review`, and `sortline corrections`: what a person should look at, and what becomes of what they say."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.answers import groups_of
from flows.options import DEFAULT_WORKSPACE, FolderArgument, JsonOption, NameOption, SetOption, WorkspaceOption
from flows.settings import REVIEW_GROUPS
from flows.terminal import open_workspace, print_json, progress_bars, say, show_table
from models.data.listing import require_folder
from models.errors import SettingsError

corrections_app = typer.Typer(no_args_is_help=True, help="Corrections: what people said of pictures.")
OutOption = Annotated[
    Path | None,
    typer.Option("--out", help="Predictions of the folder; without them its labels are doubted.", show_default=False),
]
ToOption = Annotated[Path, typer.Option("--to", help="Folder of labelled pictures that the next training reads.")]
FromOption = Annotated[
    Path | None,
    typer.Option("--from", help="Folder whose corrected pictures are copied there.", show_default=False),
]
FileArgument = Annotated[Path, typer.Argument(help="JSON or CSV, as the page or Label Studio gives it.")]
AddressOption = Annotated[
    str, typer.Option("--pictures-address", help="What Label Studio finds the folder by.", show_default=False)
]


def review(
    folder: FolderArgument,
    name: NameOption,
    out: OutOption = None,
    pictures_address: AddressOption = "",
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ranks what a person should look at next: scored pictures with --out, doubted labels without."""
    from models.review.review_folder import ReviewJob, review_folder

    groups = groups_of(REVIEW_GROUPS, folder, [workspace], assignments or [])
    place = open_workspace(workspace)
    job = ReviewJob(folder.absolute(), out.absolute() if out else None, name, pictures_address, groups["review"])
    with progress_bars() as sink:
        found = review_folder(job, groups["scan"], place, sink)
    rows = [[str(r["rank"]), r["path"], r["suggested_label"], ", ".join(r["reasons"])] for r in found.shown]
    show_table(f"{found.rows} pictures to look at", ("", "picture", "looks like", "why"), rows)
    say(f"Page: {found.page}")
    say(f"Table: {found.table}; for Label Studio: {found.tasks}")
    if as_json:
        told = {"page": found.page, "table": found.table, "label_studio": found.tasks}
        print_json({"rows": found.rows, "reasons": found.reasons, **told})


@corrections_app.command("apply")
def apply_corrections(
    file: FileArgument,
    to: ToOption,
    source: FromOption = None,
    as_json: JsonOption = False,
) -> None:
    """Puts corrections beside labelled pictures, where every scan reads them, and brings pictures from elsewhere."""
    from models.data.corrections import bring_pictures, keep_corrections, read_corrections

    if source is not None and source.absolute() == to.absolute():
        raise SettingsError(f"--from and --to are both {to}", "two folders", "Leave --from out.")
    found = read_corrections(file)
    target = require_folder(to)
    copied = bring_pictures(require_folder(source), target, found) if source else 0
    kept = keep_corrections(target, found)
    say(f"{len(found)} corrections read, {kept} now lie in {target}; {copied} pictures were copied there.")
    if as_json:
        print_json({"read": len(found), "kept": kept, "copied": copied, "folder": str(target)})


@corrections_app.command("show")
def show_corrections(file: FileArgument, as_json: JsonOption = False) -> None:
    """What people said, and of what."""
    from models.data.corrections import read_corrections

    found = list(read_corrections(file).values())
    rows = [[c.path, c.label or "left out", c.was, c.by, c.at[:16]] for c in found]
    show_table(f"{len(found)} corrections", ("picture", "label", "was", "by", "at"), rows)
    if as_json:
        print_json({"corrections": [c._asdict() for c in found]})
