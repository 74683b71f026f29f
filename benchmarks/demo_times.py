"""The demo in a fresh workspace, then again, and with the network from scratch: seconds, scores, accounts."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.result_file import write_result


def run_demo(workspace: Path, *more: str) -> tuple[float, dict[str, Any]]:
    """Seconds of one demo in a process of its own, and what it answered."""
    command = [sys.executable, "-m", "flows.command_line", "demo", "--workspace", str(workspace), "--json", *more]
    started = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return time.monotonic() - started, json.loads(done.stdout.splitlines()[-1])


def measure() -> dict[str, Any]:
    """Figures of three demos in one workspace."""
    with tempfile.TemporaryDirectory() as folder:
        workspace = Path(folder) / "workspace"
        first_s, first = run_demo(workspace)
        second_s, second = run_demo(workspace)
        scratch_s, scratch = run_demo(workspace, "--set", "training.network=convnet")
    inbox = first["inbox"]
    return {
        "first_run_s": round(first_s, 1),
        "second_run_s": round(second_s, 1),
        "scratch_run_s": round(scratch_s, 1),
        "second_run_same_bundle": first["bundle_sha256"] == second["bundle_sha256"],
        "served": _headline(first["served"]),
        "uncorrected": _headline(first["uncorrected"]),
        "recall": {c["label"]: c["recall"] for c in first["served"]["per_class"]},
        "scratch": _headline(scratch["served"]),
        "test_rows": first["served"]["rows"],
        "inbox_files": inbox["files"],
        "inbox_rows_by_status": inbox["rows_by_status"],
        "inbox_files_per_s": round(inbox["images_per_s"], 1),
        "drift_of_clean_inbox": inbox["drift"]["status"],
    }


def _headline(scores: dict[str, Any]) -> dict[str, dict[str, float]]:
    return {key: scores[key] for key in ("macro_f1", "balanced_accuracy", "accuracy")}


if __name__ == "__main__":
    sys.stdout.write(f"{write_result('demo', 1, measure())}\n")
