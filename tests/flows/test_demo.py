"""The demo as a stranger runs it: on the real pictures, in a fresh workspace, twice."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from models.serving.commit import OutputStore


def _demo(workspace: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "flows.command_line", "demo", "--workspace", str(workspace), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=550, check=False, cwd=workspace.parent)
    assert done.returncode == 0, done.stdout + done.stderr
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def test_demo_reaches_its_numbers_and_is_reused(tmp_path: Path) -> None:
    first = _demo(tmp_path / "workspace")
    assert first["served"]["macro_f1"]["value"] >= 0.54
    assert first["uncorrected"]["rows"] == first["served"]["rows"] > 400
    inbox = first["inbox"]
    folder = Path(inbox["folder"])
    assert inbox["files"] == inbox["rows_scored"] == len(list(folder.iterdir()))
    assert {k: v for k, v in inbox["rows_by_status"].items() if k != "ok"} == {
        "too_large": 1,
        "unreadable": 3,
        "unsupported": 2,
    }
    rows = OutputStore(Path(inbox["out"])).read().to_pylist()
    assert sorted(row["path"] for row in rows) == sorted(path.name for path in folder.iterdir())
    report = Path(first["report"]).read_text()
    for key in ("macro_f1", "balanced_accuracy", "accuracy"):
        assert f"{first['served'][key]['value']:.3f}" in report
        assert f"{first['uncorrected'][key]['value']:.3f}" in report
    second = _demo(tmp_path / "workspace")
    assert second["bundle_sha256"] == first["bundle_sha256"]
    assert second["served"] == first["served"]
    assert (second["inbox"]["files"], second["inbox"]["rows_scored"]) == (inbox["files"], 0)
