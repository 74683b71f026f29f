"""The command `sortline explain`: a page of what a model looked at in chosen pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.options import DEFAULT_WORKSPACE, FolderArgument, JsonOption, NameOption, SetOption, WorkspaceOption
from flows.settings import EXPLAIN_GROUPS
from flows.terminal import open_workspace, print_json, progress_bars, say, show_table
from models.artifacts.durable import write_durably
from models.data.listing import require_apart, require_folder
from models.judging.explain_settings import Method
from models.settings import parse_settings

if TYPE_CHECKING:
    from models.reports.explanations import ShownExplanation

PageOption = Annotated[Path, typer.Option("--out", help="Where the page goes, such as page.html.", show_default=False)]
RowsOption = Annotated[
    list[str] | None, typer.Option("--rows", help="Path of a picture, relative to FOLDER; repeatable.")
]
PredictionsOption = Annotated[
    Path | None, typer.Option("--predictions", help="The --out of a scoring run of FOLDER, in place of --rows.")
]
LeastSureOption = Annotated[
    int, typer.Option("--least-sure", min=1, max=500, help="How many of its pictures: those with the smallest margins.")
]
MethodOption = Annotated[Method | None, typer.Option("--method", help="Wins over --set explain.method.")]


def explain(
    folder: FolderArgument,
    name: NameOption,
    out: PageOption,
    rows: RowsOption = None,
    predictions: PredictionsOption = None,
    least_sure: LeastSureOption = 12,
    method: MethodOption = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """One page of what a model looked at in chosen pictures: named ones, or those it was least sure of."""
    from models.judging.chosen_rows import Choice, chosen_pictures
    from models.judging.explain import explained
    from models.reports.explanations import ExplanationPage, render_explanations, shown_explanations
    from models.serving.registry import Registry

    choice = Choice(tuple(rows or ()), predictions, least_sure)
    choice.require_sense()
    groups = parse_settings(EXPLAIN_GROUPS, assignments or [])
    settings = groups["explain"].model_copy(update={"method": method} if method else {})
    folder = require_folder(folder)
    require_apart(folder, out)
    chosen = chosen_pictures(choice, folder, Registry(open_workspace(workspace)), name, groups["signature"])
    with progress_bars() as sink:
        found = explained(chosen.paths, chosen.bundle, settings, lambda done, total: sink("explain", done, total))
    shown = shown_explanations(found, folder)
    page = render_explanations(ExplanationPage(name, chosen.bundle.sha256, folder, chosen.said, shown))
    write_durably(out.absolute(), page.encode())
    answer = rows_answer(shown)
    show_table("Explanations", list(answer[0]) if answer else [], [list(map(str, row.values())) for row in answer])
    say(f"The page is {out.absolute()}")
    if as_json:
        print_json({"page": str(out.absolute()), "bundle_sha256": chosen.bundle.sha256, "rows": answer})


def rows_answer(shown: Sequence[ShownExplanation]) -> list[dict[str, Any]]:
    """One row a picture."""
    return [
        {
            "path": x.name,
            "status": x.explanation.status,
            "label": x.explanation.label,
            "score": x.explanation.score,
            "method": x.explanation.method,
            "source": x.explanation.source,
        }
        for x in shown
    ]
