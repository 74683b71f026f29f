"""Makes a server what the files say: deployments by Prefect's own command, then what that command does not do."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from prefect.automations import AutomationCore
from prefect.blocks.webhook import Webhook
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.exceptions import ObjectNotFound

from deployments.compare import AUTOMATION_PREFIX, our_deployments, stray_schedules
from deployments.definitions import PREFECT_FILE, read_automations, read_deployments
from models.errors import MachineError

WEBHOOK_BLOCK = "sortline-notify"


def apply_files(client: SyncPrefectClient, variables: Mapping[str, str], notify: str = "") -> None:
    """Makes a server what the files say; schedules and automations of ours that are not in them are switched off.

    Args:
        client: of the server.
        variables: of the files.
        notify: address that gets what a person should know, by POST; empty: none is told.
    """
    wanted = read_deployments(variables)
    _require_pool(client, variables["SORTLINE_POOL"])
    _deploy(variables)
    by_name = {str(entry["name"]): entry for entry in wanted}
    for found in our_deployments(client):
        entry = by_name.get(found.name)
        if entry is None:
            client.delete_deployment(found.id)
            continue
        # A name that is mistyped would be taken for none, and the default be used.
        schema = {**(found.parameter_openapi_schema or {}), "additionalProperties": False}
        client.request(
            "PATCH", "/deployments/{id}", path_params={"id": found.id}, json={"parameter_openapi_schema": schema}
        )
        for schedule in stray_schedules(entry, found):
            client.update_deployment_schedule(found.id, schedule.id, active=False)
    _apply_automations(client, read_automations(), notify, wanted)


def _require_pool(client: SyncPrefectClient, name: str) -> None:
    try:
        client.read_work_pool(name)
    except ObjectNotFound:
        client.create_work_pool(WorkPoolCreate(name=name, type="process"))


def _deploy(variables: Mapping[str, str]) -> None:
    command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--prefect-file", str(PREFECT_FILE), "--all"]
    environment = {**os.environ, **variables}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise MachineError(
            f"prefect deploy ended with {done.returncode}: {(done.stderr or done.stdout).strip()[-500:]}",
            "a server that takes the deployments",
            "Look at PREFECT_API_URL and the server's log.",
        )


def _apply_automations(
    client: SyncPrefectClient, files: Sequence[Mapping[str, Any]], notify: str, wanted: Sequence[Mapping[str, Any]]
) -> None:
    """Writes each by its name, and removes those of ours that no file has."""
    block = _webhook(notify) if notify else None
    kept = {str(t["name"]) for entry in wanted for t in entry.get("triggers", ())}
    there = {automation.name: automation for automation in client.read_automations()}
    for told in files:
        if told.get("notify") and block is None:
            # An address that was given before stays: giving none is no wish to be told nothing.
            kept |= {told["name"]}
            continue
        actions = told.get("actions") or [
            {"type": "call-webhook", "block_document_id": str(block), "payload": told["body"]}
        ]
        core = AutomationCore.model_validate(
            {
                "name": told["name"],
                "description": told["description"],
                "enabled": True,
                "trigger": told["trigger"],
                "actions": actions,
            }
        )
        kept |= {told["name"]}
        if told["name"] in there:
            client.update_automation(there[told["name"]].id, core)
        else:
            client.create_automation(core)
    for name, automation in there.items():
        if name.startswith(AUTOMATION_PREFIX) and name not in kept:
            client.delete_automation(automation.id)


def _webhook(address: str) -> Any:
    return Webhook(url=address).save(WEBHOOK_BLOCK, overwrite=True)
