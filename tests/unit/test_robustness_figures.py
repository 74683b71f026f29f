"""The benchmark's figures of robustness: numbers of a report, differences within divisions, and the README's table."""

from __future__ import annotations

import pytest

from benchmarks.judging_tables import robustness_table
from benchmarks.robustness import Numbers, gains, numbers_of, summary
from models.artifacts.judging_records import CorruptionScore, RobustnessReport
from models.judging.corruptions import CORRUPTIONS, SEVERITIES


def _score(name: str, severity: float, value: float) -> CorruptionScore:
    return CorruptionScore(
        name=name,
        severity=severity,
        rows=20,
        accuracy=value,
        balanced_accuracy=value,
        worst_class="a",
        worst_recall=value / 2,
        flip_rate=1 - value,
    )


def _numbers(contrast: float, clean: float = 0.9, *, is_attacked: bool = True) -> Numbers:
    """Of a model that nothing harms but contrast, and attacks."""
    by_name = {**dict.fromkeys(CORRUPTIONS, 0.8), "contrast": contrast}
    attacks = [_score(name, size, 0.4) for size in (8, 16) for name in ("fgsm", "pgd_10")]
    report = RobustnessReport(
        model_name="parts",
        rows=20,
        clean_balanced_accuracy=clean,
        mean_balanced_accuracy=(8 * 0.8 + contrast) / 9,
        worst="contrast",
        corruptions=tuple(_score(name, size, value) for name, value in by_name.items() for size in SEVERITIES),
        attacks=tuple(attacks) if is_attacked else (),
    )
    return {"minutes": 0.5, **numbers_of(report)}


def test_numbers_of_a_report_are_those_counted_by_hand() -> None:
    found = _numbers(0.35)
    assert found["spoiled"] == pytest.approx(0.75)
    assert [found[f"severity_{k}"] for k in SEVERITIES] == pytest.approx([0.75] * 3)
    assert (found["way_contrast"], found["way_jpeg"]) == pytest.approx((0.35, 0.8))
    assert (found["worst_class"], found["flip_rate"]) == pytest.approx((0.375, 0.25))
    assert (found["fgsm_8"], found["pgd_10_16"]) == (0.4, 0.4)


def test_gains_are_differences_within_divisions_with_students_interval() -> None:
    found = {"plain": [_numbers(0.1), _numbers(0.3), _numbers(0.5)], "augmix": [_numbers(0.46)] * 3}
    found["light"] = found["plain"]
    spoiled = gains(found, "augmix")["plain"]["spoiled"]
    assert spoiled["values"] == [0.04, 0.0178, -0.0044]
    assert (spoiled["mean"], spoiled["low"], spoiled["high"]) == pytest.approx((0.0178, -0.0374, 0.073), abs=1e-4)


def test_table_has_a_cell_for_everything_and_none_where_nothing_was_measured() -> None:
    found = {"plain": [_numbers(0.1), _numbers(0.1)], "augmix": [_numbers(0.3), _numbers(0.5)]}
    parts = {way: {**summary(rows), "gains": gains({**found, "light": rows}, way)} for way, rows in found.items()}
    cells = {"frozen": summary([_numbers(0.2, is_attacked=False)] * 2)}
    record = {"n": 2, "machine": "a machine", "date": "2026-11-26", "figures": {"digits": parts, "cells": cells}}
    header, _, plain, augmix, frozen = (
        [cell.strip() for cell in line.split("|")[1:-1]] for line in robustness_table(record).splitlines()[2:]
    )
    assert {len(row) for row in (plain, augmix, frozen)} == {len(header)}
    assert plain[header.index("worst corruption")] == "contrast 0.100"
    assert plain[3] == ""
    assert augmix[3].startswith("+0.033 (")
    assert (augmix[8], frozen[8]) == ("0.400, 0.400", "")
