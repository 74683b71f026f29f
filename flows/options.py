"""Options and arguments that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from models.artifacts.places import place_of

WorkspaceOption = Annotated[
    Path, typer.Option("--workspace", envvar="SORTLINE_WORKSPACE", help="Folder that holds all that Sortline writes.")
]
NameOption = Annotated[str, typer.Option("--name", help="Name of the model: a-z, 0-9 and dashes.")]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", help="GROUP.KEY=VALUE, repeatable; see `sortline settings`.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object last.")]
PlaceArgument = Annotated[
    Path,
    typer.Argument(help="Folder of pictures, or its address in a store: s3://...", show_default=False, parser=place_of),
]
OutArgument = Annotated[
    Path, typer.Argument(help="Folder of the predictions, or its address.", show_default=False, parser=place_of)
]
FolderArgument = Annotated[Path, typer.Argument(help="Folder of pictures.", show_default=False)]
ByOption = Annotated[str, typer.Option("--by", help="Who decides; else the user and machine.", show_default=False)]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why; the history keeps it.")]
DEFAULT_WORKSPACE = Path("workspace")
DEFAULT_POOL = "sortline"
