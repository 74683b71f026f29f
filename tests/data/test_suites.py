"""Every rule on a manifest: a case in which it must fire, one in which it must not, and the boundaries between."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from models.artifacts.records import Verdict
from models.artifacts.tables import MANIFEST, table_of
from validation import suites
from validation.suites import ValidationSettings, judge_manifest

Row = dict[str, Any]


def _rows(label: str, count: int, **changes: Any) -> list[Row]:
    start = {"label": label, "status": "ok", "width_px": 64, "height_px": 64, "size_bytes": 10}
    return [{**start, "path": f"{label}/{k}.png", "image_id": f"{label}-{k}", **changes} for k in range(count)]


GOOD = [*_rows("a", 30), *_rows("b", 40)]
BROKEN: Row = {"path": "a/broken.png", "label": "a", "status": "unreadable", "reason": "empty_file", "size_bytes": 0}

# rule, rows that break it, the path that must be named
CASES: list[tuple[str, list[Row], str | None]] = [
    ("has_rows", [], None),
    ("paths_are_unique", [*GOOD, {**GOOD[0], "image_id": "z"}], "a/0.png"),
    ("pictures_decode", [*GOOD, *({**BROKEN, "path": f"a/broken{k}.png"} for k in range(2))], "a/broken0.png"),
    ("at_least_two_classes", _rows("a", 40), None),
    ("class_has_enough", [*GOOD, *_rows("c", 19)], "c/0.png"),
    ("folders_can_be_listed", [*GOOD, {**BROKEN, "path": "c", "label": None, "reason": "unreadable_folder"}], "c"),
    ("one_label_a_picture", [*GOOD, {**GOOD[-1], "path": "a/copy.png", "label": "a"}], "a/copy.png"),
    ("imbalance_is_bounded", [*_rows("a", 20), *_rows("b", 2001)], None),
    ("pictures_have_labels", [*GOOD, {**GOOD[0], "path": "stray.png", "image_id": "s", "label": None}], "stray.png"),
    (
        "pictures_are_large_enough",
        [*GOOD, *_rows("a", 1, path="a/small.png", image_id="s", width_px=15)],
        "a/small.png",
    ),
    ("pictures_are_distinct", [*GOOD, {**GOOD[0], "path": "a/copy.png"}], "a/copy.png"),
]


def _judge(rows: list[Row]) -> Verdict:
    return judge_manifest(table_of(rows, MANIFEST), ValidationSettings())


def _outcomes(verdict: Verdict) -> dict[str, str]:
    return {finding.rule: finding.outcome for finding in verdict.findings}


@pytest.mark.parametrize(("rule", "rows", "named"), CASES, ids=[case[0] for case in CASES])
def test_rule_fires_and_names_what_broke_it(rule: str, rows: list[Row], named: str | None) -> None:
    (finding,) = (f for f in _judge(rows).findings if f.rule == rule)
    assert finding.outcome == "failed"
    if named is not None:
        assert named in finding.items


def test_good_manifest_passes_every_rule() -> None:
    verdict = _judge(GOOD)
    assert set(_outcomes(verdict).values()) == {"passed"}
    assert set(_outcomes(verdict)) == {case[0] for case in CASES}, "each rule has a case in which it fires"
    assert verdict.is_accepted


def test_limits_hold_at_their_boundary() -> None:
    enough = [*_rows("a", 20), *_rows("b", 2000), *_rows("c", 20, width_px=16)]
    assert _judge(enough).is_accepted
    assert set(_outcomes(_judge(enough)).values()) == {"passed"}


def test_class_without_a_readable_picture_does_not_vanish_in_silence() -> None:
    many = [*_rows("a", 900), *_rows("b", 900)]
    lost = [{**BROKEN, "path": f"c/{k}.heic", "label": "c", "reason": "not_an_image"} for k in range(15)]
    outcomes = _outcomes(_judge([*many, *lost]))
    assert outcomes["pictures_decode"] == "passed"
    assert outcomes["class_has_enough"] == "failed"


def test_no_row_and_one_row_are_refused() -> None:
    assert not _judge([]).is_accepted
    one = _judge(GOOD[:1])
    assert _outcomes(one)["at_least_two_classes"] == "failed"
    assert not one.is_accepted


def test_files_that_are_no_pictures_by_intent_are_not_unreadable() -> None:
    links = [{**BROKEN, "path": f"a/link{k}", "status": "ignored", "reason": "symlink"} for k in range(30)]
    assert _outcomes(_judge([*GOOD, *links]))["pictures_decode"] == "passed"


def test_warning_does_not_block_and_critical_does() -> None:
    cases = {name: rows for name, rows, _ in CASES}
    assert _judge(cases["imbalance_is_bounded"]).is_accepted
    assert not _judge(cases["pictures_decode"]).is_accepted


@pytest.mark.parametrize("severity", ["critical", "warning"])
def test_rule_that_cannot_be_evaluated_is_unknown_and_blocks_if_critical(
    monkeypatch: pytest.MonkeyPatch, severity: Any
) -> None:
    broken = suites._Rule("broken", severity, "ExpectColumnValuesToBeNull", {"column": "no_such_column"})
    monkeypatch.setattr(suites, "_rules", lambda _: [broken])
    verdict = _judge(GOOD)
    assert _outcomes(verdict) == {"broken": "unknown"}
    assert verdict.is_accepted == (severity == "warning")


def test_rule_that_was_lost_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    rules = suites._rules(ValidationSettings())
    lost = rules[0]._replace(name="lost")
    found = [suites._finding(rule, None) for rule in (lost,)]
    assert [(f.outcome, f.observed) for f in found] == [("unknown", "the rule did not run")]
    assert not Verdict(subject="manifest", findings=tuple(found)).is_accepted


def test_manifest_is_not_altered() -> None:
    table = table_of(GOOD, MANIFEST)
    before = pa.Table.from_batches(table.to_batches())
    judge_manifest(table, ValidationSettings())
    assert table.equals(before)
