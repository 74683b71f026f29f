"""Schedules over changes of the clock, days off and each other: nothing is scored twice, nothing forgotten."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import anyio
import pytest
from prefect.client.schemas.schedules import CronSchedule

from deployments.definitions import place_variables, read_deployments
from flows.watch_folder import watch_folder
from models.artifacts.workspace import Workspace
from models.errors import OutputBusy
from models.serving.commit import OutputStore
from models.serving.registry import Registry
from models.serving.score import ScoreJob, ScoringSettings, score_folder
from tests.conftest import MODEL, NOW
from tests.pictures import write_inbox

SETTLED = ScoringSettings(settle_seconds=0, max_bad_share=1)
BERLIN = ZoneInfo("Europe/Berlin")


def _times(cron: str, zone: str, start: datetime, days: int) -> list[datetime]:
    from prefect.server.schemas.schedules import CronSchedule as Served

    schedule = Served(cron=cron, timezone=zone)
    return sorted(anyio.run(lambda: schedule.get_dates(n=days, start=start, end=start + timedelta(days=days))))


# The nights before the clock goes on, and back, in 2026.
@pytest.mark.parametrize(("month", "day"), [(3, 28), (10, 24)])
def test_nightly_schedule_runs_once_a_day_whatever_the_clock_does(month: int, day: int) -> None:
    files = read_deployments(place_variables(Workspace(root=Path("/w")), Path("/h")))
    (nightly,) = next(entry for entry in files if entry["name"] == "score")["schedules"]
    start = datetime(2026, month, day, tzinfo=UTC)
    found = _times(nightly["cron"], nightly["timezone"], start, 4)
    assert [time.date() for time in found] == [(start + timedelta(days=k)).date() for k in range(4)]
    assert {(b - a).total_seconds() for a, b in pairwise(found)} == {86_400.0}
    # Somebody's own choice of a local hour that is missing in one night and comes twice in another.
    local = _times("30 2 * * *", "Europe/Berlin", start.astimezone(BERLIN), 4)
    assert len({time.astimezone(BERLIN).date() for time in local}) == len(local) >= 3
    assert CronSchedule(cron="30 2 * * *", timezone="Europe/Berlin").timezone == "Europe/Berlin"


@pytest.mark.usefixtures("prefect_backend")
def test_days_off_are_made_up_for_by_the_next_run_and_an_empty_look_does_nothing(
    champion_workspace: Workspace, tmp_path: Path
) -> None:
    inbox, out = tmp_path / "inbox", tmp_path / "out"
    place = (str(inbox), MODEL, str(out), champion_workspace.root, SETTLED)
    write_inbox(inbox, 4, damaged=False, seed=1)
    assert watch_folder(*place)
    assert not watch_folder(*place), "nothing is new"
    for night in (2, 3):  # two nights on which nothing ran
        for path in write_inbox(tmp_path / f"night-{night}", 3, damaged=False, seed=night).iterdir():
            path.rename(inbox / f"{night}-{path.name}")
    assert watch_folder(*place)
    counts = Counter(OutputStore(out).read(columns=["path"])["path"].to_pylist())
    assert len(counts) == 10
    assert set(counts.values()) == {1}


def test_run_that_overlaps_another_ends_as_busy_and_adds_no_row(champion_workspace: Workspace, tmp_path: Path) -> None:
    inbox, out = write_inbox(tmp_path / "inbox", 5, damaged=False), tmp_path / "out"
    job = ScoreJob(inbox, Registry(champion_workspace).open_champion(MODEL), out, SETTLED)
    with OutputStore(out).hold(), pytest.raises(OutputBusy):
        score_folder(job, "second", lambda: NOW)
    score_folder(job, "first", lambda: NOW)
    assert OutputStore(out).read().num_rows == 5
