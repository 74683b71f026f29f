"""Rules on a manifest, judged by Great Expectations; the only module that imports it.

It is imported inside the function: that takes seconds, which commands that judge nothing should not pay.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
from pydantic import Field

from models.artifacts.records import Finding, Outcome, Severity, Verdict
from models.settings import Settings

if TYPE_CHECKING:
    import pandas as pd

_LISTED_ITEMS = 20


class ValidationSettings(Settings):
    """What a labelled folder has to look like."""

    max_unreadable_share: float = Field(
        default=0.02, ge=0, le=1, description="Share of pictures that may fail to decode.", title="Unreadable share"
    )
    min_class_rows: int = Field(default=20, ge=3, description="Pictures that a class needs.", title="Class minimum")
    max_imbalance_ratio: float = Field(
        default=100, ge=1, description="Largest class over smallest, above which it warns.", title="Imbalance ratio"
    )
    min_side_px: int = Field(default=16, ge=1, description="Shortest side below which it warns.", title="Shortest side")


class _Rule(NamedTuple):
    """One expectation: `kind` is its class in Great Expectations, `limits` are that class's arguments."""

    name: str
    severity: Severity
    kind: str
    limits: dict[str, Any]


def judge_manifest(manifest: pa.Table, settings: ValidationSettings) -> Verdict:
    """Every rule's finding on a manifest; a rule that could not be evaluated is `unknown`, and so blocks."""
    import great_expectations as gx
    import great_expectations.expectations as gxe

    # This module of theirs sets a level of its own, and tells of a folder that nobody looks for.
    logging.getLogger("great_expectations.data_context.types.base").setLevel(logging.WARNING)

    frame, rules = _frame(manifest), _rules(settings)
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False, "metric_calculations": False}  # type: ignore[assignment]
    batch = (
        context.data_sources.add_pandas("folder")
        .add_dataframe_asset("manifest")
        .add_batch_definition_whole_dataframe("run")
    )
    expectations = [
        getattr(gxe, rule.kind)(**rule.limits, severity=rule.severity, meta={"rule": rule.name}) for rule in rules
    ]
    suite = context.suites.add(gx.ExpectationSuite("manifest", expectations=expectations))
    definition = context.validation_definitions.add(gx.ValidationDefinition(name="manifest", data=batch, suite=suite))
    result = definition.run(
        batch_parameters={"dataframe": frame},
        result_format={
            "result_format": "COMPLETE",
            "unexpected_index_column_names": ["path"],
            "return_unexpected_index_query": False,
        },
    )
    # Results are not in the suite's order; the name that each rule was given tells them apart.
    ran = {
        (entry.expectation_config.meta or {}).get("rule"): entry for entry in result.results if entry.expectation_config
    }
    return Verdict(subject="manifest", findings=tuple(_finding(rule, ran.get(rule.name)) for rule in rules))


def _frame(manifest: pa.Table) -> pd.DataFrame:
    """The columns that rules look at, among them some made for a rule."""
    frame: pd.DataFrame = manifest.select(
        ["path", "label", "image_id", "status", "reason", "width_px", "height_px"]
    ).to_pandas()
    # A class whose every picture is unreadable counts too, with none: it must not vanish in silence.
    seen = frame.loc[frame["status"] != "ignored", "label"].dropna().unique()
    counts = frame.loc[frame["status"] == "ok", "label"].value_counts().reindex(seen, fill_value=0)
    labels_of_picture = frame.groupby("image_id")["label"].nunique()
    is_ok = frame["status"] == "ok"
    return frame.assign(
        # Files that are no pictures by intent (links, system files) do not count as unreadable.
        unreadable=frame["reason"].where(~frame["status"].isin(["ok", "ignored"])),
        class_rows=frame["label"].map(counts).where(frame["status"] != "ignored").astype("float64"),
        contradictions=frame["image_id"].map(labels_of_picture).where(is_ok).astype("float64"),
        labels=float(len(counts)),
        imbalance_ratio=float(counts.max() / max(counts.min(), 1)) if len(counts) else float("nan"),
        unlistable=frame["path"].where(frame["reason"] == "unreadable_folder"),
        short_side_px=frame[["width_px", "height_px"]].min(axis=1),
        unlabelled=frame["path"].where(is_ok & frame["label"].isna()),
        copies=frame["image_id"].where(is_ok & frame["image_id"].duplicated(keep=False)),
    )


def _rules(settings: ValidationSettings) -> list[_Rule]:
    unreadable = {"column": "unreadable", "mostly": 1 - settings.max_unreadable_share}
    return [
        _Rule("has_rows", "critical", "ExpectTableRowCountToBeBetween", {"min_value": 1}),
        _Rule("paths_are_unique", "critical", "ExpectColumnValuesToBeUnique", {"column": "path"}),
        _Rule("folders_can_be_listed", "critical", "ExpectColumnValuesToBeNull", {"column": "unlistable"}),
        _Rule("pictures_decode", "critical", "ExpectColumnValuesToBeNull", unreadable),
        _Rule("at_least_two_classes", "critical", "ExpectColumnMinToBeBetween", {"column": "labels", "min_value": 2}),
        _Rule(
            "class_has_enough",
            "critical",
            "ExpectColumnValuesToBeBetween",
            {"column": "class_rows", "min_value": settings.min_class_rows},
        ),
        _Rule(
            "one_label_a_picture",
            "critical",
            "ExpectColumnValuesToBeBetween",
            {"column": "contradictions", "max_value": 1},
        ),
        _Rule(
            "imbalance_is_bounded",
            "warning",
            "ExpectColumnMaxToBeBetween",
            {"column": "imbalance_ratio", "max_value": settings.max_imbalance_ratio},
        ),
        _Rule("pictures_have_labels", "warning", "ExpectColumnValuesToBeNull", {"column": "unlabelled"}),
        _Rule(
            "pictures_are_large_enough",
            "warning",
            "ExpectColumnValuesToBeBetween",
            {"column": "short_side_px", "min_value": settings.min_side_px},
        ),
        _Rule("pictures_are_distinct", "info", "ExpectColumnValuesToBeNull", {"column": "copies"}),
    ]


def _finding(rule: _Rule, entry: Any) -> Finding:
    limit = _limit_text(rule)
    if entry is None:
        text = "the rule did not run"
        return Finding(rule=rule.name, severity=rule.severity, outcome="unknown", observed=text, limit=limit)
    result = entry.result or {}
    outcome: Outcome = "unknown" if _errored(entry) else "passed" if entry.success else "failed"
    items = [row["path"] for row in result.get("unexpected_index_list") or []]
    if "unexpected_count" in result:
        observed = f"{result['unexpected_count']} of {result['element_count']} rows break it"
    else:
        observed = f"{result.get('observed_value', 'nothing')}"
    return Finding(
        rule=rule.name,
        severity=rule.severity,
        outcome=outcome,
        observed="it could not be evaluated" if outcome == "unknown" else observed,
        limit=limit,
        items=tuple(items[:_LISTED_ITEMS]),
    )


def _limit_text(rule: _Rule) -> str:
    limits = {key: rule.limits.get(key) for key in ("min_value", "max_value", "mostly")}
    words = {"min_value": "at least", "max_value": "at most", "mostly": "share of rows that keep it at least"}
    given = [
        f"{words[key]} {round(value, 6):g}"
        for key, value in limits.items()
        if value is not None and not (key == "mostly" and value == 1)
    ]
    return ", ".join(given) or "no row breaks it"


def _errored(entry: Any) -> bool:
    """Whether the rule raised; its record has two shapes, flat or keyed by metric."""
    info = entry.exception_info or {}
    nested = (value for value in info.values() if isinstance(value, dict))
    return bool(info.get("raised_exception")) or any(value.get("raised_exception") for value in nested)
