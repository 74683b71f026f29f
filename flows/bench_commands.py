"""`sortline bench`: how fast a model scores pictures like the user's own, stage by stage."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.answers import groups_of
from flows.options import DEFAULT_WORKSPACE, FolderArgument, JsonOption, NameOption, SetOption, WorkspaceOption
from flows.settings import BENCH_GROUPS
from flows.terminal import open_workspace, print_json, progress_bars, say, show_table

if TYPE_CHECKING:
    from models.serving.bench import BenchReport

FilesOption = Annotated[int, typer.Option("--files", help="Pictures to measure with.", min=16, max=2000)]


def bench(
    folder: FolderArgument,
    name: NameOption,
    files: FilesOption = 200,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measures every stage of scoring on pictures of a folder, and what share of the machine's bound a run reaches."""
    from models.serving.bench import measure_folder
    from models.serving.registry import Registry
    from models.serving.sites import open_scorer

    settings = groups_of(BENCH_GROUPS, folder, [workspace], assignments or [])["scoring"]
    place = open_workspace(workspace)
    bundle = open_scorer(Registry(place), name, settings)
    with progress_bars() as sink:
        report = measure_folder(Path(folder), bundle, settings, files, lambda d, t: sink("bench", d, t))
    show_bench(report)
    if as_json:
        print_json(report.model_dump(mode="json"))


def show_bench(report: BenchReport) -> None:
    """Where time goes, the bound, and what is reached of it."""
    total = sum(report.stage_ms.values())
    rows = [[stage, f"{ms:.2f}", f"{ms / total:.0%}"] for stage, ms in report.stage_ms.items()]
    show_table(f"{report.files} pictures, one thread", ("stage", "ms a picture", "share"), rows)
    kilobytes, megapixels = report.mean_bytes / 1000, report.mean_pixels / 1e6
    say(f"{report.model_name} ({report.variant}); pictures of {kilobytes:.0f} kB and {megapixels:.2f} megapixels.")
    say(f"{report.threads} threads do {report.scaling:.2f} times the work of one.")
    say(f"Bound by read, decode, resize and infer: {report.bound_per_s:.0f} pictures/s.")
    say(f"A whole run with digests, checks, statistics and commit: {report.run_per_s:.0f}, {report.reached:.2f} of it.")
    say(f"Peak memory: {report.peak_mb:.0f} MB.")
