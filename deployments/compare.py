"""Where a server is not what the files say: deployments, their schedules, and automations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterTags
from prefect.client.schemas.responses import DeploymentResponse

TAG = "sortline"
AUTOMATION_PREFIX = "sortline-"
_PLAIN = ("entrypoint", "description", "tags", "parameters")


def differences(
    client: SyncPrefectClient, wanted: Sequence[Mapping[str, Any]], automations: Sequence[Mapping[str, Any]]
) -> list[str]:
    """One sentence for everything that is otherwise on the server; empty where it agrees.

    Args:
        client: of the server.
        wanted: deployments with their variables filled in.
        automations: as their file says.
    """
    found = {deployment.name: deployment for deployment in our_deployments(client)}
    said: list[str] = []
    for entry in wanted:
        name = str(entry["name"])
        if name not in found:
            said.append(f"deployment {name} is missing")
        else:
            said += [f"deployment {name}: {what}" for what in _deployment(entry, found[name])]
    said += [f"deployment {name} is on the server only" for name in sorted(set(found) - {e["name"] for e in wanted})]
    return said + _automations(client, wanted, automations)


def our_deployments(client: SyncPrefectClient) -> list[DeploymentResponse]:
    """Deployments of the server that bear our tag."""
    return client.read_deployments(deployment_filter=DeploymentFilter(tags=DeploymentFilterTags(all_=[TAG])))


def stray_schedules(entry: Mapping[str, Any], found: DeploymentResponse) -> list[Any]:
    """Active schedules of a deployment that the file does not have."""
    slugs = {schedule["slug"] for schedule in entry.get("schedules", ())}
    return [schedule for schedule in found.schedules if schedule.active and schedule.slug not in slugs]


def _deployment(entry: Mapping[str, Any], found: DeploymentResponse) -> list[str]:
    said = []
    for field in _PLAIN:
        here, there = entry.get(field), getattr(found, field)
        if (here or None) != (there or None):
            said.append(f"{field} is {there}, not {here}")
    if found.work_pool_name != entry["work_pool"]["name"]:
        said.append(f"work pool is {found.work_pool_name}, not {entry['work_pool']['name']}")
    said += _concurrency(entry.get("concurrency_limit"), found)
    schema = found.parameter_openapi_schema or {}
    if schema.get("additionalProperties", True):
        said.append("unknown parameters are accepted")
    by_slug = {schedule.slug: schedule for schedule in found.schedules}
    for schedule in entry.get("schedules", ()):
        said += _schedule(schedule, by_slug.get(schedule["slug"]))
    return said + [f"schedule {s.slug or s.id} is active on the server only" for s in stray_schedules(entry, found)]


def _concurrency(wanted: Mapping[str, Any] | None, found: DeploymentResponse) -> list[str]:
    if wanted is None:
        return []
    limit = found.global_concurrency_limit.limit if found.global_concurrency_limit else None
    strategy = found.concurrency_options.collision_strategy.value if found.concurrency_options else None
    if (limit, strategy) == (wanted["limit"], wanted["collision_strategy"]):
        return []
    return [f"concurrency is {limit} {strategy}, not {wanted['limit']} {wanted['collision_strategy']}"]


def _schedule(wanted: Mapping[str, Any], found: Any) -> list[str]:
    slug = wanted["slug"]
    if found is None:
        return [f"schedule {slug} is missing"]
    there = (getattr(found.schedule, "cron", None), getattr(found.schedule, "timezone", None), found.active)
    here = (wanted["cron"], wanted["timezone"], wanted["active"])
    return [] if here == there else [f"schedule {slug} is {there}, not {here}"]


def _automations(
    client: SyncPrefectClient, wanted: Sequence[Mapping[str, Any]], automations: Sequence[Mapping[str, Any]]
) -> list[str]:
    there = {a.name: a for a in client.read_automations() if a.name.startswith(AUTOMATION_PREFIX)}
    here = {str(a["name"]): not a.get("notify", False) for a in automations}
    here |= {str(t["name"]): True for entry in wanted for t in entry.get("triggers", ())}
    # What tells a person is there only where an address was given.
    said = [f"automation {name} is missing" for name, is_needed in here.items() if is_needed and name not in there]
    said += [f"automation {name} is on the server only" for name in sorted(set(there) - set(here))]
    return said + [f"automation {name} is switched off" for name, a in there.items() if name in here and not a.enabled]
