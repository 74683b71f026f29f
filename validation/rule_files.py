"""Rules as files: the suites that ship, what a user's file adds or switches, and the numbers that fill them in.

A suite is JSON as Great Expectations writes it. Every rule has a name in `meta.rule`; `meta.needs` says what it
cannot be asked without.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from models.artifacts.records import Severity
from models.errors import SettingsError

SuiteName = Literal["manifest", "split"]
_OFF = "off"
_PARAMETER = "$PARAMETER"


class RuleMeta(BaseModel):
    """What stands beside a rule.

    Attributes:
        rule: its name.
        says: what holds where it passes.
        do: what to do where it does not.
        needs: what it cannot be asked without; None where it always can.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    rule: str
    says: str = ""
    do: str = "Look at the items."
    needs: Literal["labels", "champion", "earlier", "label_issues"] | None = None


class Rule(BaseModel):
    """One expectation: `type` is its name in Great Expectations, `kwargs` are its arguments."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: str
    kwargs: dict[str, Any] = Field(default_factory=dict)
    severity: Severity = "warning"
    meta: RuleMeta

    @property
    def name(self) -> str:
        """Its name, which no other rule of the suite has."""
        return self.meta.rule


def load_rules(suite: SuiteName, parameters: Mapping[str, Any], user_file: str = "") -> list[Rule]:
    """The rules of a suite, with the user's changes and all parameters filled in.

    Args:
        suite: which one.
        parameters: value of each name that stands as {"$PARAMETER": name}.
        user_file: JSON of the same form. An entry with the name of a rule that ships changes what it gives of it
            (severity `off` leaves the rule out); an entry with another name and a type adds a rule. Under the key
            `expectations` it is for manifests, under `split_expectations` for splits.

    Raises:
        SettingsError: the file does not read, or an entry makes no sense; all findings at once.
    """
    text = resources.files("validation").joinpath("rules", f"{suite}.json").read_text(encoding="utf-8")
    entries: dict[str, dict[str, Any]] = {entry["meta"]["rule"]: entry for entry in json.loads(text)["expectations"]}
    findings: list[str] = []
    for place, change in enumerate(_user_entries(user_file, suite)):
        finding = _apply(entries, change)
        findings += [f"entry {place + 1}: {finding}"] if finding else []
    rules = []
    for name, entry in entries.items():
        if entry.get("severity") == _OFF:
            continue
        try:
            rules.append(Rule.model_validate({**entry, "kwargs": _filled(entry.get("kwargs", {}), parameters)}))
        except (ValidationError, KeyError) as error:
            findings.append(f"rule {name}: {_first_line(error)}")
    if findings:
        raise SettingsError(
            f"rules file {user_file} has {'; '.join(findings)}",
            f"changes of known rules ({', '.join(sorted(entries))}), or new ones with a type",
            "Mend the file; docs/validation.md shows the form.",
        )
    return rules


def _user_entries(user_file: str, suite: SuiteName) -> list[dict[str, Any]]:
    if not user_file:
        return []
    try:
        content = json.loads(Path(user_file).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SettingsError(f"rules file {user_file} cannot be read ({error})", "JSON in UTF-8", "Mend it.") from error
    known = {"manifest": "expectations", "split": "split_expectations"}
    if not isinstance(content, dict) or set(content) - {*known.values(), "name", "meta"}:
        raise SettingsError(
            f"rules file {user_file} has other keys than {' and '.join(known.values())}", "these lists", "Mend it."
        )
    entries = content.get(known[suite], [])
    return entries if isinstance(entries, list) else [entries]


def _apply(entries: dict[str, dict[str, Any]], change: Any) -> str | None:
    """Works one entry of a user's file in; the finding where it cannot be."""
    if not isinstance(change, dict) or not isinstance(change.get("meta"), dict) or "rule" not in change["meta"]:
        return 'it has no "meta": {"rule": NAME}'
    name = change["meta"]["rule"]
    if name not in entries and "type" not in change:
        return f"{name} is no known rule and has no type"
    before = entries.get(name, {"kwargs": {}, "meta": {}})
    entries[name] = {
        **before,
        **change,
        "kwargs": {**before["kwargs"], **change.get("kwargs", {})},
        "meta": {**before["meta"], **change["meta"]},
    }
    return None


def _filled(kwargs: Mapping[str, Any], parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: parameters[value[_PARAMETER]] if isinstance(value, dict) and _PARAMETER in value else value
        for key, value in kwargs.items()
    }


def _first_line(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"unknown parameter {error}"
    return " ".join(str(error).splitlines()[1:3])
