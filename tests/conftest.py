"""What tests share: a workspace with a champion, trained once a run, and Prefect's harness for those that need it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from models.artifacts.workspace import Workspace
from models.serving.bundle import Bundle, read_bundle
from models.serving.registry import Registry
from tests.pictures import write_labelled

os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] = "false"
os.environ["DO_NOT_TRACK"] = "1"
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
MODEL = "shapes"


@pytest.fixture(scope="session")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """150 pictures of three classes, unevenly."""
    return write_labelled(tmp_path_factory.mktemp("labelled"), {"down": 80, "round": 40, "side": 30})


@pytest.fixture(scope="session")
def champion_workspace(labelled: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace whose model `shapes` has a champion: a small CNN, trained without Prefect."""
    from tests.chain import train_bundle

    workspace = Workspace.open(tmp_path_factory.mktemp("workspace"))
    folder = train_bundle(labelled, workspace, MODEL)
    Registry(workspace).promote(MODEL, read_bundle(folder), NOW, "made for tests")
    return workspace


@pytest.fixture(scope="session")
def champion(champion_workspace: Workspace) -> Bundle:
    """The champion's bundle."""
    return Registry(champion_workspace).open_champion(MODEL)


@pytest.fixture(scope="session")
def prefect_backend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A real Prefect server for this test run, without heartbeats, which cost a second a flow."""
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings
    from prefect.testing.utilities import prefect_test_harness

    with (
        prefect_test_harness(server_startup_timeout=180),
        temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}),
    ):
        yield
