"""The README's tables of what smaller models gain and cost, and of a cold start."""

from __future__ import annotations

from typing import Any


def compression_table(record: dict[str, Any]) -> str:
    """One row a network: plain static integers, and what is served after the budget was asked."""
    lines = [
        "Integers in the place of the exported model, solar cells, held-out pictures, ratios of pictures/s measured in "
        "turns (targets 1.9 for Lite0 and 2.5 for ResNet-18; what bounds them: docs/bundle.md); "
        f"{record['machine']}, {record['date']}:",
        "",
        "| network | torch and bundle agree | plain: speed, agreement, macro-F1 | served | the same (of float) |",
        "|---|---|---|---|---|",
    ]
    for name, row in record["figures"].items():
        plain, served = row["plain"], row["served"]
        lines.append(
            f"| `{name}`, {row['size_px']} px | {row['torch_agreement']:.3f} of {row['held_out']} | {_cells(plain)} "
            f"| {served['variant']} | {_cells(served)} ({row['float_macro_f1']:.3f}) |"
        )
    return "\n".join(lines)


def cold_start_line(record: dict[str, Any]) -> str:
    """How long a new process takes to its first picture."""
    figures = record["figures"]
    return (
        f"A new process opens the demo's bundle and scores a picture in {figures['whole_s']:.2f} s (median of "
        f"{record['n']}, target 1.0; imports {figures['imports_s']:.2f}, digests and lint {figures['opening_s']:.2f}, "
        f"session and first picture {figures['first_picture_s']:.2f}), without torch."
    )


def _cells(numbers: dict[str, float]) -> str:
    return f"{numbers['speedup']:.2f}, {numbers['agreement']:.3f}, {numbers['macro_f1']:.3f}"
