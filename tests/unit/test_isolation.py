"""A file that kills, blocks or swallows a worker costs its own row and no other."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.data.inspection import Inspection, Request, inspect_files
from models.data.isolation import InspectionPool, IsolationSettings
from models.data.limits import DecodeLimits
from models.errors import MachineError
from tests.pictures import bomb_png, draw, encode

PICTURES = [encode(draw("round", np.random.default_rng(k)), "PNG") for k in range(5)]
# No decoder is known to crash on any file, so one is made to: it aborts where the bytes end in a mark.
ABORTING = """
import os
from PIL import Image
_open = Image.open
def aborting(file, *more, **named):
    if file.getvalue().endswith(b"abort"):
        os.abort()
    return _open(file, *more, **named)
Image.open = aborting
"""


def _requests(folder: Path) -> list[Request]:
    found = [(path.name, path.stat()) for path in sorted(folder.iterdir())]
    return [Request(name, stat.st_size, stat.st_mtime_ns) for name, stat in found]


def _inspect(folder: Path, **isolation: float) -> dict[str, Inspection]:
    requests = _requests(folder)
    settings = IsolationSettings.model_validate({"workers": 1, **isolation})
    with InspectionPool(folder, DecodeLimits(), settings) as pool:
        found = pool.ask(requests)
        assert pool.ask(requests[:1]) == found[:1], "the pool still works, whatever happened"
    return dict(zip((request.name for request in requests), found, strict=True))


def _write(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir()
    for k, data in enumerate(PICTURES):
        (folder / f"{k}.png").write_bytes(data)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


@pytest.fixture
def customised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that every worker runs before anything else."""
    place = tmp_path / "custom"
    place.mkdir()
    monkeypatch.setenv("PYTHONPATH", str(place))
    return place / "sitecustomize.py"


def test_answers_of_a_worker_are_those_of_this_process(tmp_path: Path) -> None:
    folder = _write(tmp_path / "f", {"bad.png": PICTURES[0][:100], "bomb.png": bomb_png()})
    here = inspect_files(str(folder), _requests(folder), DecodeLimits())
    assert list(_inspect(folder).values()) == here
    assert here[0].quality is not None


def test_crash_costs_one_row(tmp_path: Path, customised: Path) -> None:
    customised.write_text(ABORTING)
    folder = _write(tmp_path / "f", {"2a.png": PICTURES[0] + b"abort"})
    found = _inspect(folder)
    assert (found["2a.png"].status, found["2a.png"].reason) == ("crashed", "decoder_crashed")
    good = {name: inspection.status for name, inspection in found.items() if name != "2a.png"}
    assert set(good.values()) == {"ok"}
    assert len(good) == 5
    assert found["3.png"] == inspect_files(str(folder), _requests(folder)[4:5], DecodeLimits())[0]


def test_file_that_takes_too_long_costs_one_row(tmp_path: Path, customised: Path) -> None:
    # In C, so that no Python signal handler could run: minutes of key derivation.
    endless = "__import__('hashlib').pbkdf2_hmac('sha256', b'', b'', 2**31 - 1)"
    customised.write_text(ABORTING.replace("os.abort()", endless))
    folder = _write(tmp_path / "f", {"2a.png": PICTURES[0] + b"abort"})
    found = _inspect(folder, max_seconds=3)
    assert (found["2a.png"].status, found["2a.png"].reason) == ("timeout", "too_slow")
    assert [found[f"{k}.png"].status for k in range(5)] == ["ok"] * 5


def test_file_that_needs_too_much_memory_costs_one_row(tmp_path: Path) -> None:
    large = encode(Image.new("RGB", (7900, 7900)), "PNG")
    found = _inspect(_write(tmp_path / "f", {"2a.png": large}), max_memory_bytes=150_000_000)
    assert (found["2a.png"].status, found["2a.png"].reason) == ("too_large", "too_much_memory")
    assert [found[f"{k}.png"].status for k in range(5)] == ["ok"] * 5


def test_worker_that_cannot_start_is_the_machines_fault_and_no_files(tmp_path: Path, customised: Path) -> None:
    customised.write_text("raise SystemExit('no licence for this machine')")
    with pytest.raises(MachineError, match=r"a worker process does not start .* no licence for this machine"):
        _inspect(_write(tmp_path / "f", {}))


def test_library_that_prints_spoils_no_answer(tmp_path: Path, customised: Path) -> None:
    customised.write_text(ABORTING.replace("os.abort()", "os.write(1, b'hello from C')"))
    folder = _write(tmp_path / "f", {"2a.png": PICTURES[0] + b"abort"})
    assert {inspection.status for inspection in _inspect(folder).values()} == {"ok"}


def test_pool_leaves_no_process_behind(tmp_path: Path) -> None:
    folder = _write(tmp_path / "f", {})
    _inspect(folder)
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
    running = [Path(f"/proc/{child}/cmdline").read_bytes() for child in children]
    assert not [line for line in running if b"inspection_worker" in line]
