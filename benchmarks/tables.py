"""The README's tables, made from `benchmarks/results`; run it after a benchmark."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

from benchmarks.result_file import RESULTS

README = Path(__file__).parents[1] / "README.md"
_MARKED = re.compile(r"<!-- figures -->.*<!-- end of figures -->", re.DOTALL)


def write_tables(readme: Path) -> None:
    """Replaces what lies between the marks."""
    text = readme.read_text()
    parts = [_demo_table(_load("demo")), _session_line(_load("session")), _heads_table(_load("heads"))]
    body = "\n\n".join(["<!-- figures -->", *parts, "<!-- end of figures -->"])
    readme.write_text(_MARKED.sub(lambda _: body, text))


def _load(name: str) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text())
    return record


def _demo_table(record: dict[str, Any]) -> str:
    figures = record["figures"]
    bad = sum(v for k, v in figures["inbox_rows_by_status"].items() if k != "ok")
    seconds = f"{figures['first_run_s']:.0f} s, then {figures['second_run_s']:.0f} s"
    lines = [
        f"`sortline demo`, ELPV solar cells, four classes (IR 14), {figures['test_rows']} test pictures, "
        f"95 % intervals; {record['machine']}, {record['date']}:",
        "",
        "| learner | macro-F1 | balanced accuracy | accuracy | whole demo, then again |",
        "|---|---|---|---|---|",
        f"| frozen EfficientNet-Lite0 and a head (default) | {_cells(figures['served'])} | {seconds} |",
        f"| the same head without correction | {_cells(figures['uncorrected'])} | |",
        f"| `convnet` from scratch | {_cells(figures['scratch'])} | {figures['scratch_run_s']:.0f} s |",
        "",
        f"Inbox: {figures['inbox_files']} files, {figures['inbox_files']} rows, {bad} of them damaged with status and "
        f"reason, {figures['inbox_files_per_s']:.0f} files/s.",
    ]
    return "\n".join(lines)


def _session_line(record: dict[str, Any]) -> str:
    figures = record["figures"]
    return (
        f"Default trunk at 224 px, median of {record['n']}: ONNX Runtime {figures['one_per_s']:.0f} pictures/s one a "
        f"call, {figures['blocks_of_16_per_s']:.0f} in blocks of 16 (ratio {figures['one_over_blocks']}), "
        f"eager torch {figures['eager_torch_per_s']:.0f} (ratio {figures['one_over_eager_torch']})."
    )


def _heads_table(record: dict[str, Any]) -> str:
    lines = [
        f"Which features and head, macro-F1 on the demo's pictures without its test split, {record['n']} divisions:",
        "",
        "| features | head | mean | sd |",
        "|---|---|---|---|",
    ]
    for key, value in record["figures"].items():
        features, head = key.split("/")
        name = f"{features.replace('_', ' ')} | {head.replace('_', ' ')}"
        lines.append(f"| {name} | {value['mean']:.3f} | {value['sd']:.3f} |")
    return "\n".join(lines)


def _cells(scores: dict[str, dict[str, float]]) -> str:
    return " | ".join(
        f"{scores[key]['value']:.3f} ({scores[key]['low']:.3f} to {scores[key]['high']:.3f})"
        for key in ("macro_f1", "balanced_accuracy", "accuracy")
    )


if __name__ == "__main__":
    write_tables(README)
    sys.stdout.write(f"{README}\n")
