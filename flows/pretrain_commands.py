"""`sortline pretrain`: weights from pictures without labels."""

from __future__ import annotations

import typer

from flows.answers import groups_of, require_training
from flows.options import DEFAULT_WORKSPACE, FolderArgument, JsonOption, NameOption, SetOption, WorkspaceOption
from flows.settings import PRETRAIN_GROUPS
from flows.terminal import open_workspace, print_json, progress_bars, say, show_table


def pretrain(
    folder: FolderArgument,
    name: NameOption,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Learns weights from pictures without labels, for `train`; exit code 1 where labels show that it did not help."""
    require_training()
    groups = groups_of(PRETRAIN_GROUPS, folder, [workspace], assignments or [])
    place = open_workspace(workspace)
    from models.pretraining.pretrain_folder import PretrainJob, pretrain_folder, score_line

    job = PretrainJob(folder.absolute(), name, groups["scan"], groups["pretrain"])
    with progress_bars() as sink:
        report = pretrain_folder(job, place, sink)
    rows = [[line] for line in map(score_line, report.scores)]
    show_table(f"{name}: {report.method} on {report.network}, {report.pictures} pictures", ("scores",), rows)
    for note in report.notes:
        say(f"Note: {note}.")
    say(f"To train from it: sortline train FOLDER --name {name} {' '.join(f'--set {text}' for text in report.use)}")
    say(f"Page: {report.page}")
    if as_json:
        print_json(report.model_dump(mode="json"))
    raise typer.Exit(1 if report.earned is False else 0)
