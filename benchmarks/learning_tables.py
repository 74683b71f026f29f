"""The README's tables of what learning reaches."""

from __future__ import annotations

from typing import Any

_TITLES = {
    ("long_tail", "natural"): "digits with a long tail (ratio 50), plain cross-entropy",
    ("long_tail", "auto"): "the same with `training.imbalance=auto` (target 0.88)",
    ("frozen_cells", "four_classes"): "solar cells, four classes, frozen features (target 0.58)",
    ("fine_tuned_cells", "four_classes"): "solar cells, four classes, fine-tuned (target 0.62)",
    ("fine_tuned_whole_cells", "four_classes"): "the same, the whole network",
    ("frozen_cells", "two_classes"): "solar cells, defect or not, frozen features (target 0.845)",
    ("fine_tuned_cells", "two_classes"): "solar cells, defect or not, fine-tuned (target 0.884)",
    ("fine_tuned_whole_cells", "two_classes"): "the same, the whole network",
}
_OBJECTIVES = {"four_classes": "macro_f1", "two_classes": "accuracy"}


def learning_tables(record: dict[str, Any]) -> str:
    """Both tables and the lines below them; parts that were not measured yet are left out."""
    figures = record["figures"]
    lines = [
        f"What learning reaches; {record['machine']}, {record['date']}:",
        "",
        "| pictures and way | measured on held-out pictures | mean (95 % interval) | divisions | minutes each |",
        "|---|---|---|---|---|",
        *(_row(figures, part, key, title) for (part, key), title in _TITLES.items() if key in figures.get(part, {})),
    ]
    makers = {"recurrent": _recurrent, "step_rate": _step_rate, "kills": _kills}
    for part, make in makers.items():
        if part in figures:
            lines += ["", *make(figures[part])]
    return "\n".join(lines)


def _row(figures: dict[str, Any], part: str, key: str, title: str) -> str:
    row = figures[part][key]
    if part == "long_tail":
        numbers = f"macro accuracy | {_interval(row)} | {figures[part]['divisions']}"
        return f"| {title} | {numbers} | |"
    name = _OBJECTIVES[key]
    place = f" on {row['trained_on']}" if "trained_on" in row else ""
    numbers = f"{name.replace('_', '-')}, {row['held_out']} pictures | {_interval(row[f'served_{name}'])}"
    return f"| {title} | {numbers} | {row['repeats']} | {row['minutes_a_repeat']}{place} |"


def _interval(numbers: dict[str, float]) -> str:
    return f"{numbers['mean']:.3f} ({numbers['low']:.3f} to {numbers['high']:.3f})"


def _recurrent(figures: dict[str, Any]) -> list[str]:
    held_out = figures["convnet"]["held_out"]
    lines = [
        f"All digits, 8 x 8 drawn at 32 px, {held_out} held out (targets: 0.97, and 1e-5 of torch):",
        "",
        "| network | accuracy (95 % interval) | training, over the CNN | scoring, over the CNN | ONNX against torch |",
        "|---|---|---|---|---|",
    ]
    for name, row in figures.items():
        accuracy = f"{row['accuracy']:.3f} ({row['low']:.3f} to {row['high']:.3f})"
        costs = f"{row['training_time_over_cnn']} ({row['elapsed_s']:.0f} s) | {row['scoring_time_over_cnn']}"
        lines.append(f"| `{name}` | {accuracy} | {costs} | {row['onnx_difference']:.0e} |")
    return lines


def _step_rate(figures: dict[str, Any]) -> list[str]:
    said = [
        f"{name.replace('_', ' at ').replace('px', ' px')} {row['pictures_over_ready']:.2f} "
        f"({row['pictures_over_varied']:.2f} of random pixels varied alike)"
        for name, row in figures.items()
    ]
    return [f"Steps on kept and varied pictures over steps on one ready batch (target 0.95): {', '.join(said)}."]


def _kills(figures: dict[str, Any]) -> list[str]:
    equal = "equal to" if figures["equal_weights"] else "NOT equal to"
    return [
        f"A training killed {figures['kills']} times at random moments, {figures['in_training']} of them in training: "
        f"weights {equal} those of the one left alone."
    ]
