"""`sortline explore`: a folder without labels."""

from __future__ import annotations

import math

from flows.answers import groups_of, require_training
from flows.options import DEFAULT_WORKSPACE, FolderArgument, JsonOption, SetOption, WorkspaceOption
from flows.settings import EXPLORE_GROUPS
from flows.terminal import open_workspace, print_json, progress_bars, say, show_table


def explore(
    folder: FolderArgument,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Shows a folder without labels: clusters, a map, what is odd, what is there twice, what to label first."""
    require_training("explore")
    groups = groups_of(EXPLORE_GROUPS, folder, [workspace], assignments or [])
    place = open_workspace(workspace)
    from models.exploring.explore_folder import cluster_name, explore_folder

    with progress_bars() as sink:
        found = explore_folder(folder.absolute(), groups["scan"], groups["explore"], place, sink)
    rows = [[cluster_name(k), str(size)] for k, size in enumerate(found.clusters)]
    rows += [["odd", str(found.outliers)], ["near copies", str(found.near_copies)]]
    show_table(f"{found.pictures} pictures", ("", "pictures"), rows)
    say(f"How clearly clusters stand apart (-1 to 1): {found.silhouette:.2f}")
    say(f"Page: {found.page}")
    say(f"To label first: {found.label_page}")
    if as_json:
        silhouette = None if math.isnan(found.silhouette) else found.silhouette
        print_json({**found._asdict(), "silhouette": silhouette})
