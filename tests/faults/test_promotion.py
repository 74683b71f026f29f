"""Promotion under real kills, two at once and on a full disk: the registry reads, and has exactly one champion."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from models.artifacts.workspace import Workspace
from models.errors import StorageError
from models.serving.bundle import Bundle
from models.serving.decisions import roll_back
from models.serving.registry import Registry
from models.serving.registry_check import verify_registry
from tests.conftest import MODEL, NOW
from tests.registry_cases import DEED, bundle_named

pytestmark = pytest.mark.faults
KILLS = 20


@pytest.fixture
def place(champion: Bundle, tmp_path: Path) -> tuple[Workspace, list[Bundle]]:
    """A workspace whose model has two bundles, of which the first is champion."""
    workspace = Workspace.open(tmp_path / "workspace")
    bundles = [bundle_named(champion, workspace, split) for split in "ab"]
    Registry(workspace).promote(MODEL, bundles[0], NOW, "first")
    return workspace, bundles


def _start(workspace: Workspace, bundles: list[Bundle], times: int) -> subprocess.Popen[str]:
    arguments = [str(workspace.root), MODEL, str(times), *(bundle.sha256 for bundle in bundles)]
    command = [sys.executable, "-m", "tests.faults.promotion_process", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def _require_whole(workspace: Workspace, bundles: list[Bundle]) -> None:
    """The champion is one of the two, opens, and every check on the registry is good."""
    registry = Registry(workspace)
    champion = registry.champion(MODEL)
    assert champion is not None
    assert champion.bundle_sha256 in {bundle.sha256 for bundle in bundles}
    assert registry.open_champion(MODEL).sha256 == champion.bundle_sha256
    last = [event for event in registry.history(MODEL) if event.event in ("promoted", "rolled_back")][-1]
    assert last.bundle_sha256 == champion.bundle_sha256
    # A pointer that is behind is what the next writer mends.
    bad = [check for check in verify_registry(workspace, MODEL) if not check.is_good]
    assert not [check for check in bad if "behind" not in check.found]


def test_promotions_that_are_killed_leave_one_champion(place: tuple[Workspace, list[Bundle]]) -> None:
    workspace, bundles = place
    rng, events = np.random.default_rng(0), 1
    for _ in range(KILLS):
        process = _start(workspace, [bundles[1], bundles[0]], 1_000_000)
        assert process.stdout is not None
        assert process.stdout.readline() == "promoted\n"
        time.sleep(float(rng.uniform(0, 0.05)))
        process.kill()
        process.communicate()
        _require_whole(workspace, bundles)
        found = len(Registry(workspace).history(MODEL))
        assert found >= events
        events = found
    assert events > KILLS


def test_two_that_promote_at_once_take_turns(place: tuple[Workspace, list[Bundle]]) -> None:
    workspace, bundles = place
    processes = [_start(workspace, order, 40) for order in (bundles, bundles[::-1])]
    said = [process.communicate(timeout=120)[0].split("\n")[:-1] for process in processes]
    assert [len(lines) for lines in said] == [40, 40]
    assert set(said[0]) | set(said[1]) == {"promoted"}
    _require_whole(workspace, bundles)
    sequences = [event.sequence for event in Registry(workspace).history(MODEL)]
    assert sequences == list(range(1, len(sequences) + 1))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own with little space."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", str(disk)], check=False)
    if mounted.returncode:
        pytest.skip("this machine does not let tests mount a file system")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def test_full_disk_stops_a_promotion_and_loses_nothing(champion: Bundle, small_disk: Path) -> None:
    workspace = Workspace.open(small_disk / "workspace")
    bundles = [bundle_named(champion, workspace, split) for split in "ab"]
    registry = Registry(workspace)
    registry.promote(MODEL, bundles[0], NOW, "first")
    _fill(small_disk)
    with pytest.raises(StorageError, match="could not be written"):
        registry.promote(MODEL, bundles[1], NOW, "x" * 20_000)
    _require_whole(workspace, bundles)
    assert registry.champion(MODEL) == registry.snapshot(MODEL).pointer
    (small_disk / "filler").unlink()
    registry.promote(MODEL, bundles[1], NOW, "there is space again")
    assert roll_back(registry, MODEL, DEED).sha256 == bundles[0].sha256
    _require_whole(workspace, bundles)


def _fill(disk: Path) -> None:
    """Takes all the space that is left."""
    with (disk / "filler").open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue
