"""Every rule fires where it must, names what broke it, and stays silent where it must; lost rules never pass."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from models.artifacts.records import Verdict
from models.artifacts.tables import LABEL_ISSUES, MANIFEST, SPLIT, table_of
from models.data.folder_profile import profile_manifest
from models.errors import SettingsError
from validation import suites
from validation.judgement import Judgement
from validation.rule_files import load_rules
from validation.suites import Reference, ValidationSettings, judge_manifest, judge_split

Row = dict[str, Any]


def _rows(name: str, count: int, **changes: Any) -> list[Row]:
    """Good rows; `changes` may be functions of the row's number."""
    found = []
    for k in range(count):
        row: Row = {
            "path": f"{name}/{k}.png",
            "image_id": f"{k:08x}{name.encode().hex()[:8]:0>8}".ljust(64, "0"),
            "label": name,
            "status": "ok",
            "width_px": 64 + k % 5,
            "height_px": 64,
            "size_bytes": 1000 + k % 7,
            "format": "PNG",
            "mode": "RGB",
            "frames": 1,
            "orientation": 1,
            "brightness": 0.4 + k % 9 / 100,
            "contrast": 0.2 + k % 4 / 100,
            "darkness": 0.8,
            "lightness": 0.8,
            "information": 0.7 + k % 3 / 100,
            "sharpness": 0.5 + k % 6 / 100,
            "is_grey": False,
        }
        row.update({key: value(k) if callable(value) else value for key, value in changes.items()})
        row.setdefault("group_id", row["image_id"])
        found.append(row)
    return found


def _changed(rows: list[Row], count: int, **changes: Any) -> list[Row]:
    """The rows with the last `count` of them changed."""
    return [*rows[:-count], *({**row, **changes} for row in rows[-count:])]


GOOD = [*_rows("a", 40), *_rows("b", 60)]
BROKEN: Row = {"path": "a/broken.png", "label": "a", "status": "unreadable", "reason": "empty_file", "size_bytes": 0}
NOT_FOUND: Row = {"path": "x", "status": "vanished", "reason": "not_found", "label": "a"}
NEAR: Row = {**GOOD[0], "image_id": "f" * 64, "duplicate_group": "d", "group_id": "d"}
DOUBTED = table_of(
    [{"path": row["path"], "label": row["label"], "suggested_label": "a", "label_score": 0.1} for row in GOOD[-3:]],
    LABEL_ISSUES,
)
BEFORE = profile_manifest(table_of([*_rows("a", 200), *_rows("b", 300)], MANIFEST))
LIKE_BEFORE = [*_rows("a", 160), *_rows("b", 240)]

# rule, rows that break it, what must be named, what the folder is compared with
Case = tuple[str, list[Row], str | None, Reference]
NONE = Reference()
CASES: list[Case] = [
    ("has_rows", [], None, NONE),
    ("paths_are_unique", [*GOOD, {**GOOD[0], "image_id": "f" * 64}], "a/0.png", NONE),
    ("digests_are_whole", _changed(GOOD, 1, image_id="short"), "b/59.png", NONE),
    ("folders_can_be_listed", [*GOOD, {**BROKEN, "path": "c", "reason": "unreadable_folder"}], "c", NONE),
    ("pictures_decode", [*GOOD, *({**BROKEN, "path": f"a/broken{k}.png"} for k in range(3))], "a/broken0.png", NONE),
    ("labels_name_files", [*GOOD, *({**NOT_FOUND, "path": f"lost{k}"} for k in range(3))], "lost0", NONE),
    ("at_least_two_classes", _rows("a", 40), "a", NONE),
    ("class_has_enough", [*GOOD, *_rows("c", 19)], "c (19)", NONE),
    ("one_label_a_picture", [*GOOD, {**GOOD[-1], "path": "a/copy.png", "label": "a"}], "a/copy.png", NONE),
    ("class_names_are_distinct", [*GOOD, *_rows("B", 30)], "B", NONE),
    ("labels_match_champion", GOOD, "missing: c", Reference(champion_classes=("a", "b", "c"))),
    (
        "near_copies_agree",
        [*GOOD, {**NEAR, "path": "a/near.png"}, {**NEAR, "path": "b/near.png", "label": "b", "image_id": "e" * 64}],
        "a/near.png",
        NONE,
    ),
    ("names_do_not_collide", [*GOOD, *_rows("b", 1, path="b/59.PNG", image_id="f" * 64)], "b/59.PNG", NONE),
    ("imbalance_is_bounded", [*_rows("a", 20), *_rows("b", 2001)], "b", NONE),
    ("pictures_have_labels", [*GOOD, *_rows("s", 1, path="stray.png", label=None)], "stray.png", NONE),
    ("pictures_are_large_enough", _changed(GOOD, 1, width_px=15), "b/59.png", NONE),
    ("format_is_extension", _changed(GOOD, 1, format="JPEG"), "b/59.png", NONE),
    ("one_frame", _changed(GOOD, 1, frames=2), "b/59.png", NONE),
    ("groups_are_small", _changed(GOOD, 21, group_id="wafer"), "b/39.png", NONE),
    ("no_shortcut", [*_rows("a", 40), *_rows("b", 60, brightness=0.9)], "brightness tells a with AUC 1.000", NONE),
    ("like_before", _changed(LIKE_BEFORE, 200, brightness=0.9), "brightness moved", Reference(earlier=BEFORE)),
    ("labels_look_right", GOOD, "b/59.png", Reference(label_issues=DOUBTED)),
    ("deep_pixels", _changed(GOOD, 1, mode="I;16"), "b/59.png", NONE),
    ("upright", _changed(GOOD, 6, orientation=6), "b/59.png", NONE),
    ("dark", _changed(GOOD, 6, darkness=0.31), "b/59.png", NONE),
    ("light", _changed(GOOD, 6, lightness=0.04), "b/59.png", NONE),
    ("blurry", _changed(GOOD, 6, sharpness=0.28), "b/59.png", NONE),
    ("low_information", _changed(GOOD, 6, information=0.29), "b/59.png", NONE),
    ("odd_aspect_ratio", _changed(GOOD, 6, width_px=640), "b/59.png", NONE),
    ("odd_size", _changed(GOOD, 6, width_px=200, height_px=200), "b/59.png", NONE),
    ("grayscale", _changed(GOOD, 6, is_grey=True), "b/59.png", NONE),
    ("exact_duplicates", [*GOOD, {**GOOD[0], "path": "a/copy.png"}], "a/copy.png", NONE),
    ("near_duplicates", _changed(GOOD, 2, duplicate_group="d"), "b/59.png", NONE),
]
SPLIT_GOOD = [{**row, "split": ("train", "train", "tune", "test")[k % 4]} for k, row in enumerate(GOOD)]
SPLIT_CASES: list[tuple[str, list[Row], str | None]] = [
    ("has_rows", [], None),
    ("splits_are_known", _changed(SPLIT_GOOD, 1, split="holdout"), "b/59.png"),
    (
        "no_picture_in_two_splits",
        [*SPLIT_GOOD, {**SPLIT_GOOD[-1], "path": "b/copy.png", "split": "train"}],
        "b/copy.png",
    ),
    ("no_group_in_two_splits", _changed(SPLIT_GOOD, 2, given_group="wafer"), "b/58.png"),
    ("no_near_copy_in_two_splits", _changed(SPLIT_GOOD, 2, duplicate_group="d"), "b/59.png"),
    (
        "classes_in_every_split",
        [row for row in SPLIT_GOOD if (row["label"], row["split"]) != ("a", "tune")],
        "a in tune",
    ),
    ("few_left_out", _changed(SPLIT_GOOD, 6, split="left_out"), "b/59.png"),
]


def _judge(rows: list[Row], reference: Reference = NONE, **settings: Any) -> Judgement:
    return judge_manifest(table_of(rows, MANIFEST), ValidationSettings(**settings), reference)


def _outcomes(judgement: Judgement) -> dict[str, str]:
    return {finding.rule: finding.outcome for finding in judgement.verdict.findings}


def _finding(judgement: Judgement, rule: str) -> Any:
    (finding,) = (f for f in judgement.verdict.findings if f.rule == rule)
    return finding


@pytest.mark.parametrize(("rule", "rows", "named", "reference"), CASES, ids=[case[0] for case in CASES])
def test_rule_fires_and_names_what_broke_it(
    rule: str, rows: list[Row], named: str | None, reference: Reference
) -> None:
    judgement = _judge(rows, reference)
    finding = _finding(judgement, rule)
    assert finding.outcome == "failed", finding
    assert finding.do
    if named is not None:
        assert any(named in item for item in finding.items), finding
    paths = {row["path"] for row in rows}
    offenders = [row["path"] for row in judgement.offenders.to_pylist() if row["rule"] == rule]
    assert set(offenders) <= paths
    if named in paths:
        assert named in offenders, "the rows that broke it are kept by picture"


@pytest.mark.parametrize(("rule", "rows", "named"), SPLIT_CASES, ids=[case[0] for case in SPLIT_CASES])
def test_split_rule_fires_and_names_what_broke_it(rule: str, rows: list[Row], named: str | None) -> None:
    finding = _finding(judge_split(table_of(rows, SPLIT), ValidationSettings()), rule)
    assert finding.outcome == "failed", finding
    if named is not None:
        assert named in finding.items


def test_good_folder_passes_every_rule() -> None:
    reference = Reference(("a", "b"), BEFORE, DOUBTED.slice(0, 0))
    judgement = _judge(LIKE_BEFORE, reference)
    assert {rule: outcome for rule, outcome in _outcomes(judgement).items() if outcome != "passed"} == {}
    assert set(_outcomes(judgement)) == {case[0] for case in CASES}, "each rule has a case in which it fires"
    assert judgement.verdict.is_accepted
    assert judgement.verdict.not_asked == {}
    assert judgement.offenders.num_rows == 0


def test_good_division_passes_every_rule() -> None:
    judgement = judge_split(table_of(SPLIT_GOOD, SPLIT), ValidationSettings())
    assert set(_outcomes(judgement).values()) == {"passed"}
    assert set(_outcomes(judgement)) == {case[0] for case in SPLIT_CASES}


def test_rules_without_what_they_compare_with_are_not_asked_and_say_so() -> None:
    assert set(_judge(GOOD).verdict.not_asked) == {"labels_match_champion", "like_before", "labels_look_right"}
    flat = table_of([{**row, "label": None} for row in GOOD], MANIFEST)
    unlabelled = flat.cast(MANIFEST.with_metadata({b"labelled": b"no"}))
    judgement = judge_manifest(unlabelled, ValidationSettings())
    assert judgement.verdict.is_accepted
    assert judgement.verdict.not_asked["at_least_two_classes"] == "the folder is read without labels"
    assert not judge_manifest(flat, ValidationSettings()).verdict.is_accepted


def test_limits_hold_at_their_boundary() -> None:
    rows = [*_rows("a", 20), *_rows("b", 2000), *_rows("c", 20, width_px=16)]
    outcomes = _outcomes(_judge(rows, max_group_share=1))
    assert {name: outcomes[name] for name in ("class_has_enough", "imbalance_is_bounded")} == {
        "class_has_enough": "passed",
        "imbalance_is_bounded": "passed",
    }
    assert outcomes["pictures_are_large_enough"] == "passed"
    for rule, changes in (
        ("dark", {"darkness": 0.31}),
        ("odd_aspect_ratio", {"width_px": 640}),
        ("upright", {"orientation": 6}),
    ):
        finding = _finding(_judge(_changed(GOOD, 5, **changes)), rule)
        assert finding.outcome == "passed", "5 of 100 is the share that is let pass"
        assert len(finding.items) == 5, "and they are listed all the same"


def test_too_small_a_folder_to_compare_is_a_failure_and_never_a_pass() -> None:
    finding = _finding(_judge(GOOD, Reference(earlier=BEFORE)), "like_before")
    assert (finding.outcome, finding.observed) == ("failed", "100 pictures are not enough to tell, 200 would be")


def test_class_without_a_readable_picture_does_not_vanish_in_silence() -> None:
    many = [*_rows("a", 900), *_rows("b", 900)]
    lost = [{**BROKEN, "path": f"c/{k}.heic", "label": "c", "reason": "not_an_image"} for k in range(15)]
    outcomes = _outcomes(_judge([*many, *lost]))
    assert (outcomes["pictures_decode"], outcomes["class_has_enough"]) == ("passed", "failed")


@pytest.mark.parametrize("count", [0, 1])
def test_no_row_and_one_row_are_refused_by_rules_that_can_all_be_evaluated(count: int) -> None:
    judgement = _judge(GOOD[:count], Reference(("a", "b"), BEFORE, DOUBTED))
    assert not judgement.verdict.is_accepted
    assert "unknown" not in _outcomes(judgement).values()
    assert _outcomes(judgement)["at_least_two_classes"] == "failed"
    split = judge_split(table_of(SPLIT_GOOD[:count], SPLIT), ValidationSettings())
    assert not split.verdict.is_accepted
    assert "unknown" not in _outcomes(split).values()


def test_several_labels_a_picture_count_for_each_class() -> None:
    labels: list[Callable[[int], list[str]]] = [lambda k: ["x", "y"] if k % 2 else ["x"]]
    rows = _rows("m", 60, label=None, labels=labels[0])
    judgement = _judge(rows, Reference(champion_classes=("x", "y")))
    assert judgement.verdict.is_accepted
    assert _finding(judgement, "class_has_enough").observed == "smallest class has 30"


def test_files_that_are_no_pictures_by_intent_are_not_unreadable() -> None:
    links = [{**BROKEN, "path": f"a/link{k}", "status": "ignored", "reason": "symlink"} for k in range(30)]
    assert _outcomes(_judge([*GOOD, *links]))["pictures_decode"] == "passed"


def test_warning_does_not_block_and_critical_does() -> None:
    cases = {rule: rows for rule, rows, _, _ in CASES}
    assert _judge(cases["imbalance_is_bounded"]).verdict.is_accepted
    assert not _judge(cases["pictures_decode"]).verdict.is_accepted


def _rules_file(tmp_path: Path, *entries: Row) -> str:
    path = tmp_path / "rules.json"
    path.write_text(json.dumps({"expectations": entries}))
    return str(path)


def test_users_file_switches_changes_and_adds_rules(tmp_path: Path) -> None:
    file = _rules_file(
        tmp_path,
        {"meta": {"rule": "imbalance_is_bounded"}, "severity": "off"},
        {"meta": {"rule": "dark"}, "severity": "critical", "kwargs": {"mostly": 1.0}},
        {
            "meta": {"rule": "width_is_fixed"},
            "type": "expect_column_values_to_be_in_set",
            "kwargs": {"column": "width_px", "value_set": [64, 65, 66, 67, 68]},
            "severity": "critical",
        },
    )
    judgement = _judge(_changed(GOOD, 1, darkness=0.1), rules_file=file)
    outcomes = _outcomes(judgement)
    assert "imbalance_is_bounded" not in outcomes
    assert (outcomes["dark"], outcomes["width_is_fixed"]) == ("failed", "passed")
    assert not judgement.verdict.is_accepted
    broken = _judge(_changed(GOOD, 1, width_px=99), rules_file=file)
    assert _finding(broken, "width_is_fixed").items == ("b/59.png",)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"meta": {"rule": "darc"}, "severity": "off"}, "darc is no known rule and has no type"),
        ({"severity": "off"}, 'it has no "meta"'),
        ({"meta": {"rule": "dark"}, "severity": "fatal"}, "rule dark: severity"),
        ({"meta": {"rule": "dark"}, "kwargs": {"mostly": {"$PARAMETER": "no"}}}, "rule dark: unknown parameter 'no'"),
    ],
)
def test_users_file_that_makes_no_sense_is_refused(tmp_path: Path, entry: Row, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        _judge(GOOD, rules_file=_rules_file(tmp_path, entry))
    (tmp_path / "rules.json").write_text("[")
    with pytest.raises(SettingsError, match="cannot be read"):
        _judge(GOOD, rules_file=str(tmp_path / "rules.json"))
    (tmp_path / "rules.json").write_text('{"rules": []}')
    with pytest.raises(SettingsError, match="has other keys than"):
        _judge(GOOD, rules_file=str(tmp_path / "rules.json"))


@pytest.mark.parametrize("severity", ["critical", "warning"])
@pytest.mark.parametrize(
    ("kind", "kwargs"),
    [
        ("expect_column_values_to_be_null", {"column": "no_such_column"}),
        ("expect_column_values_to_be_between", {"column": "format", "min_value": 3}),
    ],
)
def test_rule_that_cannot_be_evaluated_is_unknown_and_blocks_if_critical(
    tmp_path: Path, kind: str, kwargs: Row, severity: str
) -> None:
    file = _rules_file(tmp_path, {"meta": {"rule": "mine"}, "type": kind, "kwargs": kwargs, "severity": severity})
    judgement = _judge(GOOD, rules_file=file)
    finding = _finding(judgement, "mine")
    assert finding.outcome == "unknown"
    assert finding.observed.startswith("it could not be evaluated: ")
    assert judgement.verdict.is_accepted == (severity == "warning")


@pytest.mark.parametrize(
    ("kind", "kwargs", "message"),
    [
        ("expect_no_such_thing", {}, "mine: no expectation is called expect_no_such_thing"),
        ("expect_column_values_to_be_null", {"colum": "mode"}, "mine: column field required, colum extra fields"),
    ],
)
def test_rule_that_great_expectations_would_drop_is_refused(
    tmp_path: Path, kind: str, kwargs: Row, message: str
) -> None:
    file = _rules_file(tmp_path, {"meta": {"rule": "mine"}, "type": kind, "kwargs": kwargs})
    with pytest.raises(SettingsError, match=message):
        _judge(GOOD, rules_file=file)


def test_rule_that_was_lost_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    ran = suites.run_rules

    def losing(frame: Any, rules: Any) -> dict[str, Any]:
        return {name: entry for name, entry in ran(frame, rules).items() if name != "has_rows"}

    monkeypatch.setattr(suites, "run_rules", losing)
    judgement = _judge(GOOD)
    assert _finding(judgement, "has_rows").observed == "the rule did not run"
    assert not judgement.verdict.is_accepted


def test_verdict_without_rules_accepts_nothing() -> None:
    assert not Verdict(subject="manifest", findings=()).is_accepted


def test_shipped_rules_say_what_holds_and_what_to_do() -> None:
    rules = [
        *load_rules("manifest", {**ValidationSettings().model_dump(), "reference": "", "champion_classes": [],
                                 "min_readable_share": 1, "min_usual_share": 1, "min_right_label_share": 1}),
        *load_rules("split", {}),
    ]  # fmt: skip
    assert all(rule.meta.says and rule.meta.do for rule in rules)


def test_manifest_is_not_altered() -> None:
    table = table_of(GOOD, MANIFEST)
    before = pa.Table.from_batches(table.to_batches())
    judge_manifest(table, ValidationSettings())
    assert table.equals(before)
