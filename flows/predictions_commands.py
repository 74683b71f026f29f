"""The commands below `sortline predictions`: looking at an output, its other shapes, and its upkeep."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from flows.options import JsonOption, OutArgument
from flows.terminal import print_json, progress_bars, say, show_table
from models.artifacts.places import place_of

if TYPE_CHECKING:
    from models.serving.commit_log import Deed
    from models.serving.verify import Checked

predictions_app = typer.Typer(no_args_is_help=True, help="Predictions: other shapes of them, and their upkeep.")
AllRowsOption = Annotated[bool, typer.Option("--all-rows", help="Also rows that have a newer one of the same path.")]
WayOption = Annotated[Literal["link", "hardlink", "copy"], typer.Option("--by", help="How pictures get there.")]
RowsOption = Annotated[int, typer.Option("--rows", help="Rows of a merged file, at most.", min=1)]
DaysOption = Annotated[float, typer.Option("--days", help="Only rows that were committed longer ago.", min=0)]
EverythingOption = Annotated[
    bool, typer.Option("--everything", help="Also the newest row of a file; it is not scored again.")
]


@predictions_app.command("show")
def show_predictions(out: OutArgument, as_json: JsonOption = False) -> None:
    """Counts of an output's newest rows, and its commits."""
    from collections import Counter

    from models.serving.reader import open_output, prediction_tables

    store, statuses, labels = open_output(out), Counter[str](), Counter[str]()
    for table in prediction_tables(store, ("status", "label")):
        statuses.update(table["status"].to_pylist())
        labels.update(label for label in table["label"].to_pylist() if label)
    commits = store.commits()
    rows = [[c.at[:19], c.kind, c.model_name, c.bundle_sha256[:12], str(sum(p.rows for p in c.parts))] for c in commits]
    show_table("Commits", ("at", "what", "model", "bundle", "rows"), rows)
    counts = [[f"rows {name}", str(n)] for name, n in sorted(statuses.items())]
    show_table("Newest rows", ("", ""), [*counts, *([f"predicted {k}", str(n)] for k, n in sorted(labels.items()))])
    if as_json:
        print_json(
            {"rows_by_status": statuses, "labels": labels, "commits": [c.model_dump(mode="json") for c in commits]}
        )


@predictions_app.command("export")
def export_predictions(
    out: OutArgument,
    csv: Annotated[Path, typer.Option("--csv", help="File to write.")],
    all_rows: AllRowsOption = False,
    as_json: JsonOption = False,
) -> None:
    """Predictions as CSV that a spreadsheet can open: text that it would compute gets an apostrophe."""
    from models.serving.reader import open_output
    from models.serving.views.csv_table import write_csv

    rows = write_csv(open_output(out), csv.absolute(), newest=not all_rows)
    _answer(f"{rows} rows: {csv}", {"rows": rows, "csv": str(csv.absolute())}, as_json)


@predictions_app.command("sort")
def sort_pictures(
    out: OutArgument,
    into: Annotated[Path, typer.Option("--into", help="Folder that gets one folder a class.")],
    by: WayOption = "link",
    as_json: JsonOption = False,
) -> None:
    """Pictures into one folder a class, by links or copies; the pictures themselves stay where they are."""
    from models.serving.reader import open_output
    from models.serving.views.class_folders import sort_into_folders

    store = open_output(out)
    counts = sort_into_folders(store, place_of(store.commits()[-1].folder), into.absolute(), by)
    show_table(f"{into}", ("folder", "pictures"), [[name, str(count)] for name, count in counts.items()])
    if as_json:
        print_json({"folders": counts, "into": str(into.absolute())})


@predictions_app.command("delta")
def publish_predictions(out: OutArgument, as_json: JsonOption = False) -> None:
    """Publishes the predictions as a Delta table, or brings it up to date; needs the extra `delta`."""
    from models.serving.reader import open_output
    from models.serving.views.delta_table import publish_delta

    done = publish_delta(open_output(out))
    _answer(f"Version {done.version} of the Delta table in {out}: {done.files} files.", done._asdict(), as_json)


@predictions_app.command("compact")
def compact_predictions(out: OutArgument, rows: RowsOption = 200_000, as_json: JsonOption = False) -> None:
    """Merges small files of predictions into large ones; the rows stay what they are."""
    from models.serving.compaction import compact
    from models.serving.reader import open_output

    done = compact(open_output(out), _deed(), rows)
    _answer(f"{done.parts_before} files are {done.parts_after} now, with {done.rows} rows.", done._asdict(), as_json)


@predictions_app.command("retire")
def retire_predictions(
    out: OutArgument, days: DaysOption, everything: EverythingOption = False, as_json: JsonOption = False
) -> None:
    """Removes files of predictions whose every row has a newer one of the same path."""
    from models.serving.output_retention import retire
    from models.serving.reader import open_output

    older_than = datetime.now(UTC) - timedelta(days=days)
    done = retire(open_output(out), _deed(), older_than, everything=everything)
    _answer(f"{done.parts} files with {done.rows} rows were removed.", done._asdict(), as_json)


def verify_predictions(folder: Path, out: Path, as_json: bool) -> None:
    """Checks an output against its own log and the pictures as they are now; exit code 1 where something is wrong."""
    from models.serving.reader import open_output
    from models.serving.verify_output import verify_output

    store = open_output(out)
    with progress_bars() as sink:
        checks = verify_output(store, folder.absolute(), lambda done, total: sink("read pictures", done, total))
    _show_checks(out, checks)
    if as_json:
        print_json({"good": all(c.is_good for c in checks), "checks": [c._asdict() for c in checks]})
    raise typer.Exit(0 if all(check.is_good for check in checks) else 1)


def _show_checks(out: Path, checks: list[Checked]) -> None:
    rows = [[check.name, "yes" if check.is_good else "NO", check.found] for check in checks]
    show_table(f"{out}", ("check", "good", "found"), rows)


def _deed() -> Deed:
    from models.serving.commit_log import Deed

    return Deed(str(uuid.uuid4()), datetime.now(UTC).isoformat())


def _answer(sentence: str, answer: dict[str, Any], as_json: bool) -> None:
    say(sentence)
    if as_json:
        print_json(answer)
