"""Files that no engine can run here are at least whole, and say what is there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import yaml
from prefect.automations import AutomationCore
from typer.testing import CliRunner

from deployments.command_line import app
from deployments.definitions import place_variables, read_automations, read_deployments
from models.artifacts.workspace import Workspace

ROOT = Path(__file__).parents[2]
HERE = ROOT / "deployments"


def test_every_deployment_says_what_it_is_and_is_limited() -> None:
    for entry in read_deployments(place_variables(Workspace(root=Path("/w")), Path("/h"))):
        assert entry["description"].endswith("."), entry["name"]
        assert entry["tags"][0] == "sortline"
        assert entry["concurrency_limit"]["collision_strategy"] in ("ENQUEUE", "CANCEL_NEW")
        for schedule in entry.get("schedules", ()):
            assert schedule.keys() >= {"cron", "timezone", "slug", "active"}


def test_every_kind_of_pool_has_its_job_variables() -> None:
    told = yaml.safe_load((HERE / "prefect.yaml").read_text())["definitions"]
    assert told.keys() == {"pool", "docker_pool", "kubernetes_pool"}
    for pool in told.values():
        assert pool["job_variables"]["env"].keys() == told["pool"]["job_variables"]["env"].keys()
    assert all("image" in told[name]["job_variables"] for name in ("docker_pool", "kubernetes_pool"))


def test_automations_are_what_prefect_takes() -> None:
    for told in read_automations():
        block = "00000000-0000-0000-0000-000000000000"
        actions = told.get("actions") or [{"type": "call-webhook", "block_document_id": block, "payload": told["body"]}]
        core = AutomationCore.model_validate({"name": told["name"], "trigger": told["trigger"], "actions": actions})
        assert core.name.startswith("sortline-")


def test_images_copy_what_is_there_and_ask_for_extras_that_exist() -> None:
    text = (HERE / "Dockerfile").read_text()
    copied = [word for line in re.findall(r"^COPY (.+)$", text, re.M) for word in shlex.split(line)[:-1]]
    assert all((ROOT / name).exists() for name in copied), copied
    extras = {name for found in re.findall(r"\.\[([\w,]+)\]", text) for name in found.split(",")}
    project = (ROOT / "pyproject.toml").read_text()
    assert all(re.search(rf"^{name} = \[", project, re.M) for name in extras)


def test_compose_file_has_its_services_and_no_secret() -> None:
    text = (HERE / "compose.yaml").read_text()
    services = yaml.safe_load(text)["services"]
    assert set(services) == {"database", "server", "worker"}
    assert services["server"]["ports"] == ["127.0.0.1:4200:4200"], "on this machine only"
    targets = {service["build"]["target"] for service in services.values() if "build" in service}
    assert all(f" AS {target}" in (HERE / "Dockerfile").read_text() for target in targets)
    assert not re.search(r"PASSWORD: *['\"]?[A-Za-z0-9]", text), "passwords come from the environment"


def test_unit_starts_a_command_that_exists() -> None:
    (command,) = re.findall(r"^ExecStart=\S*/sortline (.+)$", (HERE / "sortline.service").read_text(), re.M)
    name, *options = shlex.split(command)
    shown = CliRunner().invoke(app, [name, "--help"]).output
    assert all(option in shown for option in options if option.startswith("--"))
