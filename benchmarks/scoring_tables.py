"""The README's tables of scoring: end to end, at its ends, and under kills."""

from __future__ import annotations

from typing import Any


def scoring_tables(scoring: dict[str, Any], scale: dict[str, Any], kills: dict[str, Any]) -> str:
    """What end-to-end scoring reaches, and what a kill costs."""
    return "\n\n".join([_end_to_end(scoring), _ends(scale), _kills(kills)])


def _end_to_end(record: dict[str, Any]) -> str:
    lines = [
        "Scoring end to end with digests, checks, input statistics and commits on, float models, equal answers checked "
        f"first, medians of {record['n']} rounds by turns (targets: 0.95 of the bound by read, decode, resize and "
        "infer; timm 6 times for Lite0 and 2.2 for ResNet-18; Ultralytics 3, its own network of equal operations); "
        f"{record['machine']}, {record['date']}:",
        "",
        "| network, pictures | pictures/s | of the bound | over timm's loader and eager torch (its best) "
        "| over Ultralytics (its best) | integers, times our floats | largest difference to torch |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, row in record["figures"].items():
        other = ""
        if "over_ultralytics_default" in row:
            other = f"{row['over_ultralytics_default']:.1f} ({row['over_ultralytics_best']:.1f})"
        lines.append(
            f"| {name} | {row['per_s']['ours']:.0f} | {row['reached']:.2f} | {row['over_timm_default']:.1f} "
            f"({row['over_timm_best']:.1f}) | {other} | {row.get('integers_over_ours', '')} "
            f"| {row['largest_difference']:.0e} |"
        )
    return "\n".join(lines)


def _ends(record: dict[str, Any]) -> str:
    figures = record["figures"]
    (small, small_mb), (large, large_mb) = figures["peak_mb"].items()
    return (
        f"`sortline score` on {figures['cold_pictures']} pictures from a cold process: {figures['cold_s']:.1f} s "
        f"(target 3). First committed rows of a flat folder of {figures['files']:,} files: "
        f"{figures['first_rows_s']:.1f} s after the start of scoring (target 2). Peak memory at {int(large):,} files "
        f"{large_mb:.0f} MB, at {int(small):,} {small_mb:.0f} MB: {figures['peak_ratio']:.2f} times (target 1.1)."
    )


def _kills(record: dict[str, Any]) -> str:
    figures = record["figures"]
    reached = ", ".join(f"{name} {count}" for name, count in figures["states"].items())
    return (
        f"{figures['killed']} scoring runs killed at random moments ({figures['ended_before_their_kill']} more ended "
        f"before their kill): {figures['violations']} lost, doubled or wrong rows. What they had reached: {reached}."
    )
