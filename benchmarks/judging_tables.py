"""The README's tables of judging: gates, sets of classes, calibration."""

from __future__ import annotations

from typing import Any

_PARTS = {
    "digits": "digits, long tail (ratio 50), balanced test",
    "digits_without_refit": "the same, `refit_on_tune=false`",
    "cells": "solar cells, four classes, frozen features",
    "cells_without_refit": "the same, `refit_on_tune=false`",
}
_BASES = {"own": "its own", "pooled": "pooled with rare ones", "not_enough": "not enough"}


def gate_table(record: dict[str, Any]) -> str:
    """One line a scenario: how often the gates were wrong."""
    lines = [
        f"What the gates let through and refuse, by their defaults, of simulated pairs of models; {record['n']} pairs "
        f"a row, {record['date']}:",
        "",
        "| classes | test pictures | candidate | should be | wrong (95 % interval) |",
        "|---|---|---|---|---|",
    ]
    for row in record["figures"]["rows"]:
        wrong = row["wrong"]
        verb = "promoted" if row["should_pass"] else "refused"
        lines.append(
            f"| {row['world']} | {row['test_pictures']} | {row['scenario']} | {verb} | "
            f"{wrong['share']:.3f} ({wrong['low']:.3f} to {wrong['high']:.3f}) |"
        )
    return "\n".join(lines)


def certainty_tables(record: dict[str, Any]) -> str:
    """Coverage of each class, then calibration and false alarms."""
    figures = record["figures"]
    lines = [
        f"Sets of classes that are to hold the true one in 0.90 of the pictures of each class, on held-out pictures; "
        f"{record['machine']}, {record['date']}:",
        "",
        "| pictures | class | calibration pictures | threshold from | coverage, mean over divisions (sd) |",
        "|---|---|---|---|---|",
    ]
    for part, title in _PARTS.items():
        for name, row in figures.get(part, {}).get("classes", {}).items():
            for basis, word in _BASES.items():
                if basis in row:
                    sd = "" if row[basis]["sd"] is None else f" ({row[basis]['sd']:.3f})"
                    lines.append(
                        f"| {title} | {name} | {row['calibration_rows']:.0f} | {word} | {row[basis]['mean']:.3f}{sd} |"
                    )
    lines += [
        "",
        "| pictures | divisions | calibration error, corrected only | calibrated (target 0.05) | its largest "
        "| classes a set | known pictures called foreign | noise called foreign |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for part, title in _PARTS.items():
        if part in figures:
            row = figures[part]
            numbers = [
                row["calibration_error_before"]["mean"],
                row["calibration_error"]["mean"],
                row["calibration_error"]["largest"],
                row["set_size"]["mean"],
                row["false_alarms"]["mean"],
                row["noise_found"]["mean"],
            ]
            lines.append(f"| {title} | {row['divisions']} | " + " | ".join(f"{n:.3f}" for n in numbers) + " |")
    return "\n".join(lines)
