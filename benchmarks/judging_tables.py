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
    "plain": "`augment.policy=none`",
    "light": "`augment.policy=light` (default)",
    "augmix": "`augment.policy=augmix`",
    "trivial": "`augment.policy=trivial`",
    "adversarial": "`augment.policy=none`, `fit.adversarial_eps=8`",
    "adversarial_light": "`augment.policy=light`, `fit.adversarial_eps=8`",
    "frozen": "solar cells, four classes, frozen features (default)",
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
    """One line a way of training, then solar cells; parts that were not measured yet are left out."""
    figures = record["figures"]
    rows = [(way, row) for part in ("digits", "cells") for way, row in figures.get(part, {}).items()]
    return "\n".join(
        [
            f"Digits spoiled in 27 ways (9 corruptions, 3 severities) and attacked, `convnet` at 16 px, "
            f"{record['n']} divisions and seeds, the same for each training; balanced accuracy; {record['machine']}, "
            f"{record['date']}:",
            "",
            "| training | as they are | spoiled (95 % interval) | more than `none` (95 % interval) | severity 1, 3, 5 "
            "| worst corruption | worst class | flipped | FGSM 8, PGD 8 | FGSM 16, PGD 16 | minutes |",
            "|---|---|---|---|---|---|---|---|---|---|---|",
            *(f"| {_WAYS[way]} | {_robustness_cells(row)} |" for way, row in rows),
        ]
    )


def _robustness_cells(row: dict[str, Any]) -> str:
    gain = row.get("gains", {}).get("plain", {}).get("spoiled")
    severities = ", ".join(f"{row[f'severity_{k}']['mean']:.3f}" for k in (1, 3, 5))
    worst = row["worst_corruption"]
    cells = [
        f"{row['clean']['mean']:.3f}",
        _interval(row["spoiled"], ""),
        _interval(gain, "+") if gain else "",
        severities,
        f"{worst.replace('_', ' ')} {row['corruptions'][worst]['mean']:.3f}",
        f"{row['worst_class']['mean']:.3f}",
        f"{row['flip_rate']['mean']:.3f}",
        *(_attack_cell(row, change) for change in (8, 16)),
        f"{row['minutes']['mean']:.1f}",
    ]
    return " | ".join(cells)


def _interval(numbers: dict[str, float], sign: str) -> str:
    mean, low, high = (f"{numbers[name]:{sign}.3f}" for name in ("mean", "low", "high"))
    return f"{mean} ({low} to {high})"


def _attack_cell(row: dict[str, Any], change: int) -> str:
    """Empty where the network was not attacked."""
    names = (f"fgsm_{change}", f"pgd_10_{change}")
    return ", ".join(f"{row[name]['mean']:.3f}" for name in names if name in row)
