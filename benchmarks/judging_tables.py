"""The README's tables of judging: gates, sets of classes, calibration, robustness."""

from __future__ import annotations

from typing import Any

_PARTS = {
    "digits": "digits, long tail (ratio 50), balanced test",
    "digits_without_refit": "the same, `refit_on_tune=false`",
    "cells": "solar cells, four classes, frozen features",
    "cells_without_refit": "the same, `refit_on_tune=false`",
}
_WAYS = {
    "plain": "pictures as they are",
    "light": "`augment.policy=light` (default)",
    "augmix": "`augment.policy=augmix`",
    "adversarial": "`fit.adversarial_eps=8`, pictures as they are",
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
    for part in ("digits", "cells"):
        title = _PARTS[part]
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


def robustness_table(record: dict[str, Any]) -> str:
    """One line a way of training."""
    lines = [
        f"Digits spoiled in 27 ways (9 corruptions, 3 severities) and attacked, `convnet` at 16 px, balanced accuracy, "
        f"means of {record['n']} divisions; {record['machine']}, {record['date']}:",
        "",
        "| training | clean | spoiled | severity 1, 3, 5 | flipped | FGSM 8, PGD 8 | FGSM 16, PGD 16 | minutes |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for way, row in record["figures"].items():
        mean = {name: value["mean"] for name, value in row.items() if isinstance(value, dict)}
        severities = ", ".join(f"{mean[f'severity_{k}']:.3f}" for k in (1, 3, 5))
        attacks = " | ".join(f"{mean[f'fgsm_{k}']:.3f}, {mean[f'pgd_10_{k}']:.3f}" for k in (8, 16))
        lines.append(
            f"| {_WAYS[way]} | {mean['clean']:.3f} | {mean['corrupted']:.3f} | {severities} | {mean['flip_rate']:.3f} "
            f"| {attacks} | {mean['minutes']:.1f} |"
        )
    return "\n".join(lines)
