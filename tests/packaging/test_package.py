"""Does what we ship work: the wheel, the entry points, the forms, the names, and scoring without torch."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

from models.artifacts.workspace import Workspace
from tests.conftest import MODEL
from tests.pictures import CLASSES, write_inbox, write_labelled

ROOT = Path(__file__).parents[2]
ROOMS = ("models", "validation", "tasks", "flows", "deployments")
DEPLOYMENTS = yaml.safe_load((ROOT / "deployments" / "prefect.yaml").read_text())["deployments"]


def _run(*command: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([*map(str, command)], cwd=cwd, capture_output=True, text=True, timeout=550, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("wheel")
    _run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", target, ROOT, cwd=target)
    (found,) = target.glob("*.whl")
    return found


def test_wheel_holds_every_module_and_nothing_else(wheel: Path) -> None:
    shipped = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    tracked = _run("git", "ls-files", *ROOMS, cwd=ROOT).stdout.splitlines()
    assert shipped == {name for name in tracked if not name.endswith(".md") or "/templates/" in name}


@pytest.mark.packaging
def test_scoring_needs_no_torch(wheel: Path, champion_workspace: Workspace, tmp_path: Path) -> None:
    """The wheel without extras in a clean environment, from the locked versions, scores and says it can."""
    _run(sys.executable, "-m", "venv", tmp_path / "env", cwd=tmp_path)
    python = tmp_path / "env" / "bin" / "python"
    lock = ROOT / "requirements.lock"
    _run(python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "-c", lock, wheel, cwd=tmp_path)
    _run(python, "-m", "pip", "check", cwd=tmp_path)
    installed = json.loads(_run(python, "-m", "pip", "list", "--format", "json", cwd=tmp_path).stdout)
    assert not {"torch", "torchvision", "onnxscript", "timm"} & {entry["name"] for entry in installed}
    inbox = write_inbox(tmp_path / "inbox", 9, damaged=True)
    sortline = tmp_path / "env" / "bin" / "sortline"
    place = ("--workspace", champion_workspace.root, "--json")
    done = _run(sortline, "score", inbox, "--name", MODEL, "--out", "out", *place, cwd=tmp_path)
    answer = json.loads(done.stdout.splitlines()[-1])
    assert (answer["files"], answer["rows_by_status"]["ok"]) == (15, 9)
    site = write_labelled(tmp_path / "site", dict.fromkeys(CLASSES, 6))
    adapt = [str(sortline), "adapt", str(site), "--name", MODEL, "--site", "home", *map(str, place)]
    adapted = subprocess.run(adapt, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert json.loads(adapted.stdout.splitlines()[-1])["record"]["labelled_rows"] == 18, adapted.stderr
    train = [str(sortline), "train", str(inbox), "--name", "m"]
    refused = subprocess.run(train, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (refused.returncode, "pip install 'sortline[train]'" in refused.stderr) == (2, True)
    assert "scoring only" in _run(sortline, "doctor", *place, cwd=tmp_path).stdout
    for module in (
        "flows.score_folder",
        "flows.audit_folder",
        "flows.train_classifier",
        "flows.adapt_site",
        "flows.pretrain_network",
    ):
        _run(python, "-c", f"import {module}", cwd=tmp_path)


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=[d["name"] for d in DEPLOYMENTS])
def test_deployment_loads_and_its_form_explains_every_field(deployment: dict[str, str]) -> None:
    from prefect.utilities.callables import parameter_schema

    module, _, name = deployment["entrypoint"].rpartition(".")
    flow = getattr(importlib.import_module(module), name)
    schema = parameter_schema(flow).model_dump()
    definitions = schema["definitions"]
    objects = [entry for entry in definitions.values() if entry.get("type") == "object"]
    assert deployment["description"]
    for field in [f for entry in (schema, *objects) for f in entry["properties"].values()]:
        shown = definitions[field["$ref"].rsplit("/", 1)[1]] if "$ref" in field else field
        assert field.get("title"), field
        assert shown.get("description"), field
    assert all(entry["additionalProperties"] is False for entry in objects), "unknown keys are refused"


def test_no_module_hides_one_of_the_standard_library() -> None:
    names = {part for room in ROOMS for path in (ROOT / room).rglob("*.py") for part in path.with_suffix("").parts}
    assert not {path.stem for room in ROOMS for path in (ROOT / room).rglob("*.py")} & set(sys.stdlib_module_names)
    assert "models" in names


def test_no_other_package_owns_our_names() -> None:
    owners = importlib.metadata.packages_distributions()
    for room in ROOMS:
        assert set(owners.get(room, ["sortline"])) == {"sortline"}


def test_nothing_is_pickled_printed_or_left_unfinished() -> None:
    words = re.compile(r"\bpickle\b|joblib|allow_pickle|TODO|FIXME|NotImplementedError")
    found = []
    for room in ROOMS:
        for path in (ROOT / room).rglob("*.py"):
            text = path.read_text()
            found += [f"{path}: {m.group()}" for m in words.finditer(text)]
            calls = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
            loads = [c for c in calls if ast.unparse(c.func) == "torch.load"]
            assert all("weights_only=True" in ast.unparse(c) for c in loads)
    assert not found


def test_init_files_hold_a_docstring_and_nothing_else() -> None:
    for room in ROOMS:
        for path in (ROOT / room).rglob("__init__.py"):
            first, *others = ast.parse(path.read_text()).body
            assert isinstance(first, ast.Expr), path
            # Whatever of models is imported first, onnxruntime must find it said by then.
            silent = ["import os", "os.environ.setdefault('ORT_DISABLE_TELEMETRY', '1')"]
            assert list(map(ast.unparse, others)) in ([], silent if path.parent.name == "models" else []), path


def test_lock_names_one_version_of_everything_that_is_asked_for() -> None:
    lines = [line for line in (ROOT / "requirements.lock").read_text().splitlines() if line and line[0] not in "#-"]
    locked = dict(line.split("==") for line in lines)
    assert len(locked) == len(lines)
    # What Ray brings warns when Great Expectations imports it: that extra stays out.
    asked = [entry for entry in importlib.metadata.requires("sortline") or [] if 'extra == "ray"' not in entry]
    names = {re.split(r"[<>=!;\[ ]", entry)[0].lower().replace("_", "-") for entry in asked} - {"sortline"}
    assert names <= {name.lower().replace("_", "-") for name in locked}


def test_command_line_imports_neither_prefect_nor_torch_to_score() -> None:
    heavy = ("prefect", "torch", "great_expectations", "pandas")
    code = f"import sys, flows.command_line, models.serving.score; print([m for m in {heavy} if m in sys.modules])"
    assert _run(sys.executable, "-c", code, cwd=ROOT).stdout.strip() == "[]"
