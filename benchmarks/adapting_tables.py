"""The README's tables of adapting to sites, of the review queue, and of few labels."""

from __future__ import annotations

from typing import Any

_WAYS = {
    "pixels": "pixels as they are and a head",
    "from_scratch": "ConvNet from scratch",
    "pseudo_labels": "the same with pseudo labels, where taken",
    "vicreg": "VICReg without labels, then fine-tuned",
    "patches": "a dictionary of patches and a head",
}
_TARGETS = {"mono_to_poly": "0.69", "poly_to_mono": "0.74"}


def adapting_tables(sites: dict[str, Any], asked: dict[str, Any], few: dict[str, Any]) -> str:
    """What a site's pictures and labels give, what the review queue saves, what pictures without labels give."""
    return "\n\n".join([_sites(sites), _asked(asked), _few(few)])


def _sites(record: dict[str, Any]) -> str:
    figures = record["figures"]
    costs = [figures[name]["median_ratio"] for name in ("scoring_cost_mono", "scoring_cost_poly")]
    slowest = max(row["adapt_seconds_max"] for name in _TARGETS for row in figures[name])
    lines = [
        "A champion of one kind of solar cell adapted to the other kind; balanced accuracy on pictures that neither "
        f"knows, mean of {record['n']} draws (sd); {record['date']}:",
        "",
        "| site | labels a class | champion as it is | adapted | accepted | target |",
        "|---|---|---|---|---|---|",
    ]
    for name, target in _TARGETS.items():
        for row in figures[name]:
            count = row["labels_a_class"]
            goal, asked = (target if count == 10 else ""), ("" if count else " (asked for)")
            lines.append(
                f"| {name.replace('_', ' ')} | {count or 'none'} | {row['base']['mean']:.3f} "
                f"| {row['adapted']['mean']:.3f} ({row['adapted']['sd']:.3f}) "
                f"| {row['accepted_share']:.2f}{asked} | {goal} |"
            )
    for name in ("mono_to_mono", "poly_to_poly"):
        for row in figures[name]:
            lines.append(
                f"| {name.split('_')[0]}, like home | {row['labels_a_class']} | {row['base']['mean']:.3f} "
                f"| {row['adapted']['mean']:.3f} ({row['adapted']['sd']:.3f}) | {row['accepted_share']:.2f} | 0 |"
            )
    lines += [
        "",
        f"Adapting takes {slowest:.1f} s at most once features are kept (target 5 s on 2 cores); scoring with a site "
        f"costs {costs[0]:.3f} and {costs[1]:.3f} times scoring without (target 1.02).",
    ]
    return "\n".join(lines)


def _asked(record: dict[str, Any]) -> str:
    lines = [
        "Labels that the review queue needs for the balanced accuracy that labels by chance give, "
        f"{record['n']} seeds (target 0.60):",
        "",
        "| | labels by chance | that give | least sure first | review queue |",
        "|---|---|---|---|---|",
    ]
    for name, row in record["figures"].items():
        for goal in row["by_chance"]["share_of_labels_for_what_chance_reaches"]:
            reached = row["by_chance"]["balanced_accuracy"][row["labels"].index(int(goal))]
            shares = [
                row[way]["share_of_labels_for_what_chance_reaches"][goal] for way in ("least_sure", "review_queue")
            ]
            lines.append(f"| {name} | {goal} | {reached:.3f} | {shares[0]:.2f} | {shares[1]:.2f} |")
    return "\n".join(lines)


def _few(record: dict[str, Any]) -> str:
    figures = record["figures"]
    lines = [
        f"Digits of which one in ten has a label, accuracy on held-out digits, {record['n']} seeds:",
        "",
        "| | accuracy (sd) | gain over from scratch (sd) | better in |",
        "|---|---|---|---|",
    ]
    for name, title in _WAYS.items():
        row = figures["accuracy"][name]
        gain = f"{row['gain_over_from_scratch']:+.3f} ({row['sd_of_gain']:.3f})"
        better = f"{row['better_in']} of {record['n']}"
        gained = "| | |" if name == "from_scratch" else f"| {gain} | {better} |"
        lines.append(f"| {title} | {row['mean']:.3f} ({row['sd']:.3f}) {gained}")
    taken = figures["pseudo_labels_taken"].get("pseudo_labels", 0)
    lines += ["", f"Pseudo labels were taken in {taken} of {record['n']} trainings; elsewhere tune showed no gain."]
    return "\n".join(lines)
