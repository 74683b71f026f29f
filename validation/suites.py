"""Rules on manifests and splits, judged by Great Expectations.

It is imported inside the function: that takes seconds, which commands that judge nothing should not pay.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
from pydantic import Field

from models.artifacts.records import Finding, Outcome, Verdict
from models.artifacts.tables import OFFENDERS
from models.data.folder_profile import FolderProfile
from models.data.scan import has_labels
from models.errors import SettingsError
from models.settings import FileName, Settings
from validation.facts import manifest_frame, split_frame
from validation.judgement import Judgement
from validation.rule_files import Rule, SuiteName, load_rules

if TYPE_CHECKING:
    import pandas as pd

_LISTED_ITEMS = 20
_MISSING = {
    "labels": "the folder is read without labels",
    "champion": "there is no champion yet",
    "earlier": "no folder was accepted before",
    "label_issues": "label errors were not looked for (sortline audit --label-errors)",
}


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
    max_odd_share: float = Field(
        default=0.05,
        ge=0,
        le=1,
        description="Share of dark, light, blurry or otherwise odd pictures above which it says so.",
        title="Odd pictures",
    )
    max_group_share: float = Field(
        default=0.2, gt=0, le=1, description="Largest share of pictures that stay together.", title="Largest group"
    )
    max_shortcut_auc: float = Field(
        default=0.95,
        ge=0.5,
        le=1,
        description="How well size, light or format may tell a class before it warns, as AUC.",
        title="Shortcut",
    )
    max_label_error_share: float = Field(
        default=0.02, ge=0, le=1, description="Share of labels that may look wrong.", title="Label errors"
    )
    rules_file: FileName = Field(
        default="",
        description="JSON that adds rules, changes them or switches them off; see docs/validation.md.",
        title="Rules file",
    )


class Reference(NamedTuple):
    """What a folder is compared with, as far as it is known.

    Attributes:
        champion_classes: the champion's classes.
        earlier: profile of the last accepted manifest.
        label_issues: table LABEL_ISSUES.
    """

    champion_classes: tuple[str, ...] | None = None
    earlier: FolderProfile | None = None
    label_issues: pa.Table | None = None


NO_REFERENCE = Reference()


def judge_manifest(manifest: pa.Table, settings: ValidationSettings, reference: Reference = NO_REFERENCE) -> Judgement:
    """Every rule's finding on a manifest; a rule that could not be evaluated is `unknown`, and blocks if critical.

    Args:
        manifest: table MANIFEST.
        settings: limits, and the user's rules.
        reference: what it is compared with. Rules that need what is not there are not asked; the verdict lists them.
    """
    frame = manifest_frame(manifest, reference.label_issues)
    parameters = {
        "min_readable_share": 1 - settings.max_unreadable_share,
        "min_usual_share": 1 - settings.max_odd_share,
        "min_right_label_share": 1 - settings.max_label_error_share,
        "champion_classes": list(reference.champion_classes or ()),
        "reference": reference.earlier.model_dump_json() if reference.earlier else "",
        **settings.model_dump(),
    }
    known = {
        "labels": has_labels(manifest),
        "champion": reference.champion_classes is not None,
        "earlier": reference.earlier is not None,
        "label_issues": reference.label_issues is not None,
    }
    return _judge("manifest", frame, load_rules("manifest", parameters, settings.rules_file), known)


def judge_split(split: pa.Table, settings: ValidationSettings) -> Judgement:
    """Every rule's finding on a table SPLIT: leaks across splits before all."""
    return _judge("split", split_frame(split), load_rules("split", settings.model_dump(), settings.rules_file), {})


def _judge(subject: SuiteName, frame: pd.DataFrame, rules: list[Rule], known: dict[str, bool]) -> Judgement:
    asked = [rule for rule in rules if rule.meta.needs is None or known[rule.meta.needs]]
    ran = run_rules(frame, asked)
    findings = tuple(_finding(rule, ran.get(rule.name), frame) for rule in asked)
    skipped = {rule.name: _MISSING[rule.meta.needs] for rule in rules if rule not in asked and rule.meta.needs}
    return Judgement(Verdict(subject=subject, findings=findings, not_asked=skipped), _offenders(frame, asked, ran))


def _offenders(frame: pd.DataFrame, rules: list[Rule], ran: dict[str, Any]) -> pa.Table:
    """Table OFFENDERS, in the order of rules and rows."""
    tables = [OFFENDERS.empty_table()]
    for rule in rules:
        rows = frame.iloc[_offending_rows(ran.get(rule.name))]
        names = [pa.repeat(pa.scalar(text, pa.string()), len(rows)) for text in (rule.name, rule.severity)]
        columns = [pa.array(rows[name], pa.string(), from_pandas=True) for name in ("image_id", "path")]
        tables.append(pa.table([*names, *columns], schema=OFFENDERS))
    return pa.concat_tables(tables)


def run_rules(frame: pd.DataFrame, rules: list[Rule]) -> dict[str, Any]:
    """Great Expectations' result of each rule by its name; a rule that got lost on the way is missing."""
    import great_expectations as gx
    from great_expectations.validator.v1_validator import Validator

    import validation.expectations  # noqa: F401 - without it Great Expectations drops our rules in silence

    # This module of theirs sets a level of its own, and tells of a folder that nobody looks for.
    logging.getLogger("great_expectations.data_context.types.base").setLevel(logging.WARNING)
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False, "metric_calculations": False}  # type: ignore[assignment]
    batch = (
        context.data_sources.add_pandas("folder")
        .add_dataframe_asset("facts")
        .add_batch_definition_whole_dataframe("run")
    )
    suite = gx.ExpectationSuite("rules", expectations=_expectations(rules))
    # What a validation definition runs; that would also keep the result in a store, for as much time again.
    result = Validator(
        batch_definition=batch,
        batch_parameters={"dataframe": frame},
        # Rows come as positions: by name they would cost 0.1 ms each.
        result_format={"result_format": "COMPLETE", "return_unexpected_index_query": False},
    ).validate_expectation_suite(suite)
    # Results are not in the suite's order; the name that each rule was given tells them apart.
    return {
        str((entry.expectation_config.meta or {}).get("rule")): entry
        for entry in result.results
        if entry.expectation_config
    }


def _expectations(rules: list[Rule]) -> list[Any]:
    """Great Expectations' object of each rule.

    Raises:
        SettingsError: a type that it does not know, or arguments that the type does not take; all at once. Left to
            itself it would drop such a rule with a line in a log.
    """
    from great_expectations.exceptions.exceptions import ExpectationNotFoundError
    from great_expectations.expectations.metadata_types import FailureSeverity
    from great_expectations.expectations.registry import get_expectation_impl
    from pydantic.v1 import ValidationError

    found, findings = [], []
    for rule in rules:
        try:
            kind = get_expectation_impl(rule.type)
            found.append(kind(**rule.kwargs, severity=FailureSeverity(rule.severity), meta={"rule": rule.name}))
        except ExpectationNotFoundError:
            findings.append(f"{rule.name}: no expectation is called {rule.type}")
        except ValidationError as error:
            wrong = (f"{'.'.join(map(str, entry['loc']))} {entry['msg']}" for entry in error.errors())
            findings.append(f"{rule.name}: {', '.join(wrong)}")
    if findings:
        raise SettingsError(
            f"{len(findings)} rule(s) cannot be built: {'; '.join(findings)}",
            "expectations of Great Expectations or Sortline with arguments that they take",
            "Mend the rules file; docs/validation.md shows the form.",
        )
    return found


def _finding(rule: Rule, entry: Any, frame: pd.DataFrame) -> Finding:
    if entry is None:
        outcome: Outcome = "unknown"
        observed, items = "the rule did not run", []
    else:
        outcome = "unknown" if _errored(entry) else "passed" if entry.success else "failed"
        observed, items = _observed(entry, outcome), _items(entry, outcome, frame)
    return Finding(
        rule=rule.name,
        severity=rule.severity,
        outcome=outcome,
        observed=observed,
        limit=_limit_text(rule),
        items=tuple(items[:_LISTED_ITEMS]),
        says=rule.meta.says,
        do=rule.meta.do,
    )


def _observed(entry: Any, outcome: Outcome) -> str:
    result = entry.result or {}
    if outcome == "unknown":
        return f"it could not be evaluated: {_reason(entry)}"
    if "unexpected_count" in result:
        return f"{result['unexpected_count']} of {result['element_count']} rows break it"
    return f"{result.get('observed_value', 'nothing')}"


def _items(entry: Any, outcome: Outcome, frame: pd.DataFrame) -> list[str]:
    """What broke the rule: rows by path, or what it names itself. Rows that a share allows are listed too."""
    rows = _offending_rows(entry)
    if rows:
        return [str(path) for path in frame["path"].iloc[rows[:_LISTED_ITEMS]]]
    details = (entry.result or {}).get("details") or {}
    return [str(item) for item in details.get("items", [])] if outcome == "failed" else []


def _offending_rows(entry: Any) -> list[int]:
    """Positions in the frame, in order."""
    rows = (entry.result or {}).get("unexpected_index_list") if entry is not None else None
    return sorted(row for row in rows or [] if isinstance(row, int))


def _limit_text(rule: Rule) -> str:
    words = {
        "min_value": "at least",
        "max_value": "at most",
        "min_rows": "at least",
        "min_classes": "at least",
        "max_ratio": "at most",
        "max_share": "share at most",
        "max_auc": "AUC at most",
        "mostly": "share of rows that keep it at least",
    }
    given = [
        f"{words[key]} {value:.6g}"
        for key, value in rule.kwargs.items()
        if key in words and isinstance(value, int | float) and not (key == "mostly" and value == 1)
    ]
    return ", ".join(given) or "no row breaks it"


def _errored(entry: Any) -> bool:
    """Whether the rule raised; its record has two shapes, flat or keyed by metric."""
    return any(info.get("raised_exception") for info in _exceptions(entry))


def _reason(entry: Any) -> str:
    texts = [str(info.get("exception_message") or "") for info in _exceptions(entry) if info.get("raised_exception")]
    return next((" ".join(text.split())[:200] for text in texts if text), "no reason was given")


def _exceptions(entry: Any) -> list[dict[str, Any]]:
    info = entry.exception_info or {}
    return [info, *(value for value in info.values() if isinstance(value, dict))]
