from __future__ import annotations

import pytest
from pydantic import Field

from models.errors import SettingsError
from models.settings import Settings, describe_settings, parse_settings


class _Inner(Settings):
    epochs: int = Field(default=3, ge=1, description="passes")


class _Outer(Settings):
    share: float = Field(default=0.5, ge=0, le=1, description="a share")
    decays: tuple[float, ...] = Field(default=(0.1, 1.0), description="tried")
    inner: _Inner = _Inner()


GROUPS: dict[str, type[Settings]] = {"outer": _Outer}


def test_assignments_reach_nested_settings_and_the_last_one_wins() -> None:
    found = parse_settings(GROUPS, ["outer.inner.epochs=5", "outer.inner.epochs=7", "outer.decays=0.5,2"])
    assert found["outer"] == _Outer(inner=_Inner(epochs=7), decays=(0.5, 2.0))


def test_nothing_assigned_gives_the_defaults() -> None:
    assert parse_settings(GROUPS, []) == {"outer": _Outer()}


def test_all_findings_come_in_one_refusal() -> None:
    with pytest.raises(SettingsError) as error:
        parse_settings(GROUPS, ["outer.inner.epoch=5", "outer.share=7", "nonsense"])
    text = str(error.value)
    assert "3 setting(s) not understood" in text
    assert "did you mean outer.inner.epochs?" in text
    assert "outer.share: Input should be less than or equal to 1" in text
    assert "'nonsense' is not GROUP.KEY=VALUE" in text
    assert error.value.exit_code == 2


def test_description_lists_every_leaf_with_its_default() -> None:
    assert describe_settings(GROUPS) == [
        ("outer.share", "0.5", "a share"),
        ("outer.decays", "0.1,1.0", "tried"),
        ("outer.inner.epochs", "3", "passes"),
    ]
