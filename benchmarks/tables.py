"""The README's tables, made from `benchmarks/results`; run it after a benchmark."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

from benchmarks.adapting_tables import adapting_tables
from benchmarks.beyond_tables import beyond_tables
from benchmarks.bundle_tables import cold_start_line, compression_table
from benchmarks.judging_tables import certainty_tables, gate_table, robustness_table
from benchmarks.learning_tables import learning_tables
from benchmarks.result_file import RESULTS
from benchmarks.scoring_tables import scoring_tables

README = Path(__file__).parents[1] / "README.md"
_MARKED = re.compile(r"<!-- figures -->.*<!-- end of figures -->", re.DOTALL)


def write_tables(readme: Path) -> None:
    """Replaces what lies between the marks."""
    text = readme.read_text()
    parts = [
        _demo_table(_load("demo")),
        _scan_table(_load("scan")),
        _data_table(_load("data_quality"), _load("corpus")),
        _session_line(_load("session")),
        scoring_tables(_load("scoring"), _load("scoring_scale"), _load("scoring_kills")),
        beyond_tables(_load("drift"), _load("spread"), _load("task_overhead"), _load("capacity")),
        adapting_tables(_load("site_shift"), _load("active_learning"), _load("few_labels")),
        learning_tables(_load("learning")),
        _heads_table(_load("heads")),
        compression_table(_load("compression")),
        cold_start_line(_load("cold_start")),
        gate_table(_load("gates")),
        certainty_tables(_load("certainty")),
        robustness_table(_load("robustness")),
    ]
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


def _scan_table(record: dict[str, Any]) -> str:
    figures = record["figures"]
    lines = [
        f"Scan with all quality checks and isolation against plain Pillow decoding and sha256 on the same cores "
        f"(target 0.9), median of {record['n']} interleaved rounds; {record['machine']}, {record['date']}:",
        "",
        "| folder | files | plain, files/s | scan, files/s | scan over plain | two workers over one |",
        "|---|---|---|---|---|---|",
    ]
    for name, row in figures["plain"].items():
        plain = max(row["threads_per_s"], row["processes_per_s"])
        lines.append(
            f"| {name.replace('_', ' ')} | {row['files']} | {plain} | {row['scan_per_s']} "
            f"| {row['scan_over_plain']:.2f} | {row['scan_over_one_worker']:.2f} |"
        )
    vision, listing, judge = figures["cleanvision"], figures["listing"], figures["judge"]
    flags = ", ".join(
        f"{name.replace('_', ' ')} {row['precision']:.2f}/{row['recall']:.2f}"
        for name, row in vision["flags"].items()
        if isinstance(row, dict)
    )
    lines += [
        "",
        f"{vision['scan_over_cleanvision']:.1f} times as fast as cleanvision 0.3.7 (target 4) on {vision['pictures']} "
        f"photographs of 256 px; its flags on {vision['flags']['pictures']} pictures made bad by degrees are met with "
        f"precision/recall {flags}.",
        "",
        f"{listing['files']:,} files listed in {listing['elapsed_s']:.1f} s, memory growing by "
        f"{listing['growth_mb']:.0f} MB (target 50; one flat folder of {listing['flat_files']:,}: "
        f"{listing['flat_growth_mb']:.0f} MB), "
        f"{listing['time_a_file_over_small']:.2f} times the time a file of a hundredth of them (target 2). "
        f"{judge['rules']} rules on {judge['rows']:,} rows in {judge['elapsed_s']:.2f} s (target 1.5).",
    ]
    return "\n".join(lines)


def _data_table(record: dict[str, Any], corpus: dict[str, Any]) -> str:
    figures, hostile = record["figures"], corpus["figures"]
    copies, shortcuts = figures["near_copies_elpv"], figures["shortcuts_elpv"]
    changes = ", ".join(f"{k.replace('_', ' ')} {v:.2f}" for k, v in copies["joined_share_by_change"].items())
    lines = [
        "What was planted and found, real pictures:",
        "",
        "| planted | pictures | planted | named | precision | recall |",
        "|---|---|---|---|---|---|",
    ]
    for key, title in (
        ("label_errors_digits", "wrong labels, scikit-learn's digits"),
        ("label_errors_elpv", "wrong labels, ELPV (hard for people too)"),
        ("leaks_elpv", "copies of test pictures in train, ELPV"),
    ):
        row = figures[key]
        numbers = f"{row['planted']} | {row['found']} | {row['precision']:.3f} | {row['recall']:.3f}"
        lines.append(f"| {title} | {row.get('pictures', '')} | {numbers} |")
    lines += [
        "",
        f"Of {copies['copies']} changed copies of ELPV cells {copies['joined_share']:.2f} join their original "
        f"({changes}), and {copies['joined_copies_across_splits']} of those straddle a split. "
        f"{shortcuts['found_share']:.2f} of {shortcuts['rounds']} planted shortcuts are named, "
        f"{shortcuts['false_alarm_share']:.2f} of as many folders without one raise an alarm.",
        "",
        f"`make corpus` on {hostile['files']} public decoder test files: {hostile['files']} rows, "
        f"{hostile['broken_promises']} broken promises, at most {hostile['worker_peak_mb']} MB a worker and "
        f"{hostile['score_peak_mb']} MB scoring.",
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
