"""The base of all settings, and how text such as `training.head.epochs=5` becomes one."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, get_args

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo

from models.errors import SettingsError


class Settings(BaseModel):
    """Frozen settings; an unknown key is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class NamesFile:
    """Marks a setting whose text is the path of a file: what that file holds is part of the setting."""


FileName = Annotated[str, NamesFile()]


def named_files(settings: Settings) -> list[Path]:
    """The files that settings name, those of nested settings too, in the order of the fields."""
    found: list[Path] = []
    for key, field in type(settings).model_fields.items():
        value = getattr(settings, key)
        if isinstance(value, Settings):
            found += named_files(value)
        elif value and any(isinstance(mark, NamesFile) for mark in field.metadata):
            found.append(Path(value))
    return found


def parse_settings(groups: Mapping[str, type[Settings]], assignments: Sequence[str]) -> dict[str, Any]:
    """All groups, with their defaults and the given assignments.

    Args:
        groups: settings class of each group name.
        assignments: texts of the form `group.key=value`, later ones win.

    Returns:
        One settings object a group, in the order of `groups`.

    Raises:
        SettingsError: an assignment that is not of the form, or names an unknown group or key, or a value
            that its field refuses; all findings at once.
    """
    fields = dict(_fields(groups))
    values: dict[str, dict[str, Any]] = {name: {} for name in groups}
    findings = [found for text in assignments if (found := _assign(fields, values, text)) is not None]
    built: dict[str, Any] = {}
    for name, group in groups.items():
        try:
            built[name] = group.model_validate(values[name])
        except ValidationError as error:
            findings += [f"{name}.{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
    if findings:
        raise SettingsError(
            f"{len(findings)} setting(s) not understood: {'; '.join(findings)}",
            "--set GROUP.KEY=VALUE with a known key and a value inside its bounds",
            "`sortline settings` lists them all.",
        )
    return built


def describe_settings(groups: Mapping[str, type[Settings]]) -> list[tuple[str, str, str]]:
    """(name, default, help) of every setting, in order."""
    return [(name, _default_text(field), field.description or "") for name, field in _fields(groups)]


def _fields(groups: Mapping[str, type[Settings]]) -> Iterator[tuple[str, FieldInfo]]:
    """Dotted name and field of every setting, those of nested settings too."""
    for group, model in groups.items():
        for key, field in model.model_fields.items():
            name, kind = f"{group}.{key}", field.annotation
            if isinstance(kind, type) and issubclass(kind, Settings):
                yield from _fields({name: kind})
            else:
                yield name, field


def _default_text(field: FieldInfo) -> str:
    default: Any = field.get_default(call_default_factory=True)
    return ",".join(map(str, default)) if isinstance(default, tuple) else str(default)


def _assign(fields: Mapping[str, FieldInfo], values: dict[str, dict[str, Any]], text: str) -> str | None:
    """Puts one assignment into `values`; the finding where that is not possible."""
    name, equals, value = (part.strip() for part in text.partition("="))
    if not equals:
        return f"{text!r} is not GROUP.KEY=VALUE"
    if name not in fields:
        close = difflib.get_close_matches(name, fields, n=1)
        return f"{name} is unknown" + (f" (did you mean {close[0]}?)" if close else "")
    *path, key = name.split(".")
    place: dict[str, Any] = values
    for step in path:
        place = place.setdefault(step, {})
    is_tuple = isinstance(fields[name].get_default(call_default_factory=True), tuple)
    # One of several numbers is not read from text by itself.
    choices = {str(choice): choice for choice in get_args(fields[name].annotation)}
    place[key] = tuple(filter(None, value.split(","))) if is_tuple else choices.get(value, value)
    return None
