"""What the files of this folder say that a server should have."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from flows.options import DEFAULT_POOL
from models.artifacts.workspace import Workspace
from models.errors import SettingsError

HERE = Path(__file__).parent
PREFECT_FILE, AUTOMATIONS_FILE = HERE / "prefect.yaml", HERE / "automations.yaml"
_VARIABLE = re.compile(r"\{\{\s*\$(\w+)\s*\}\}")


def place_variables(workspace: Workspace, home: Path, pool: str = DEFAULT_POOL) -> dict[str, str]:
    """The variables of the files, for runs of one workspace that start in the folder `home`."""
    return {
        "SORTLINE_HOME": str(home),
        "SORTLINE_WORKSPACE": str(workspace.root),
        "SORTLINE_POOL": pool,
        "SORTLINE_ROOTS": os.environ.get("SORTLINE_ROOTS", ""),
    }


def read_deployments(variables: Mapping[str, str], path: Path = PREFECT_FILE) -> list[dict[str, Any]]:
    """The deployments of a file, with the values of its variables.

    Raises:
        SettingsError: a variable has no value.
    """
    found: list[dict[str, Any]] = _filled(yaml.safe_load(path.read_text()), variables)["deployments"]
    return found


def read_automations(path: Path = AUTOMATIONS_FILE) -> list[dict[str, Any]]:
    """The automations of a file, as they are written there."""
    found: list[dict[str, Any]] = yaml.safe_load(path.read_text())["automations"]
    return found


def _filled(value: Any, variables: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _filled(inner, variables) for key, inner in value.items()}
    if isinstance(value, list):
        return [_filled(inner, variables) for inner in value]
    if not isinstance(value, str):
        return value
    missing = [name for name in _VARIABLE.findall(value) if name not in variables]
    if missing:
        raise SettingsError(
            f"{', '.join(missing)} has no value", "a value in the environment", "Set it, and try again."
        )
    return _VARIABLE.sub(lambda found: variables[found[1]], value)
