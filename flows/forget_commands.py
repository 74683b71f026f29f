"""`sortline forget`: what is left of pictures that are not to be learned from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.options import DEFAULT_WORKSPACE, JsonOption, NameOption, WorkspaceOption
from flows.terminal import open_workspace, print_json, say, show_table

ListArgument = Annotated[Path, typer.Argument(help="Digests of the pictures: one a line, or a CSV with sha256.")]


def forget(
    file: ListArgument, name: NameOption, workspace: WorkspaceOption = DEFAULT_WORKSPACE, as_json: JsonOption = False
) -> None:
    """Deletes what is kept of pictures besides models, and shows which models learned from them.

    Exit code 1 unless every bundle of the model is shown to be clean.
    """
    from models.data.exclusion import list_digest, read_exclusions
    from models.serving.forget import drop_kept, remembered

    place = open_workspace(workspace)
    excluded = read_exclusions(str(file))
    dropped = drop_kept(place, excluded)
    found = remembered(place, name, excluded)
    rows = [
        [m.bundle_sha256[:12], "champion" if m.is_champion else "", m.outcome, _count(m.learned), str(m.golden)]
        for m in found
    ]
    columns = ("bundle", "", "", "learned from", "holds")
    show_table(f"{len(excluded)} pictures, and the bundles of {name}", columns, rows)
    say(f"{dropped} files of features, pixels and unfinished trainings deleted; they are made anew when needed.")
    is_clean = all(m.outcome == "clean" for m in found)
    if not is_clean:
        say(
            f"To be rid of them: sortline train FOLDER --name {name} --set scan.excluded={file}, "
            f"then sortline models retire {name}."
        )
    if as_json:
        told = [{**m._asdict(), "outcome": m.outcome} for m in found]
        print_json({"list_sha256": list_digest(excluded), "clean": is_clean, "bundles": told, "dropped": dropped})
    raise typer.Exit(0 if is_clean else 1)


def _count(learned: int | None) -> str:
    return "its split is gone" if learned is None else str(learned)
