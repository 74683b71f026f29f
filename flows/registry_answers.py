"""What the commands about a model's registry answer: plain dictionaries for `--json`, and tables of the same."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from models.artifacts.workspace import Workspace
from models.serving import decisions
from models.serving.history import Deed
from models.serving.registry import Registry
from models.serving.registry_check import verify_registry
from models.serving.retention import retire
from models.serving.verify import Checked

Answer = dict[str, Any]
_SHOWN_DIGITS = 12


def history_answer(workspace: Workspace, name: str) -> Answer:
    """Events of a model, where its chain begins, who is champion and who waits."""
    now = Registry(workspace).snapshot(name)
    waiting = now.standing.candidate
    return {
        "name": name,
        "linked_from": now.history.linked_from,
        "champion": now.champion.bundle_sha256 if now.champion else None,
        "candidate": waiting.bundle_sha256 if waiting else None,
        "history": [event.model_dump(mode="json") for event in now.history.events],
    }


def decision_answer(workspace: Workspace, name: str, decision: decisions.Decision, deed: Deed, bundle: str) -> Answer:
    """The candidate that was decided about, and the champion after it."""
    registry = Registry(workspace)
    decided = decisions.decide(registry, name, decision, deed, bundle)
    return {"name": name, "decision": decision, "bundle_sha256": decided, "champion": _champion(registry, name)}


def rollback_answer(workspace: Workspace, name: str, deed: Deed, to: str) -> Answer:
    """The champion that was, and the one that is champion again."""
    registry = Registry(workspace)
    before = _champion(registry, name)
    bundle = decisions.roll_back(registry, name, deed, to)
    return {"name": name, "from": before, "champion": bundle.sha256, "bundle": str(bundle.folder)}


def retention_answer(workspace: Workspace, name: str, deed: Deed, keep: int) -> Answer:
    """The bundles that were deleted."""
    gone = retire(Registry(workspace), name, deed, keep)
    return {
        "name": name,
        "retired": [entry.bundle_sha256 for entry in gone],
        "freed_bytes": sum(entry.size_bytes for entry in gone),
    }


def export_answer(workspace: Workspace, name: str, uri: str) -> Answer:
    """The version that holds the champion in MLflow's registry."""
    from models.serving.mlflow_exchange import export_champion

    registry = Registry(workspace)
    version = export_champion(registry, name, uri)
    return {"name": name, "version": version, "bundle_sha256": _champion(registry, name)}


def import_answer(workspace: Workspace, name: str, source: tuple[str, str], deed: Deed) -> Answer:
    """The bundle that now waits, from (URI, version) of MLflow's registry."""
    from models.serving.mlflow_exchange import import_version

    bundle = import_version(Registry(workspace), name, source, deed)
    return {"name": name, "version": source[1], "bundle_sha256": bundle.sha256, "bundle": str(bundle.folder)}


def registry_checks(workspace: Workspace, name: str) -> list[Checked]:
    """Every check on a model's history, and on what it names."""
    return verify_registry(workspace, name)


def deed_now(by: str, reason: str) -> Deed:
    """What somebody does at this moment; where no name is given, whoever is signed in."""
    return Deed(datetime.now(UTC), reason, by)


def event_rows(answer: Answer) -> list[list[str]]:
    """Rows of a table of all events."""
    return [
        [str(e["sequence"]), e["at"][:16], e["event"], e["bundle_sha256"][:_SHOWN_DIGITS], e["by"], e["reason"]]
        for e in answer["history"]
    ]


def _champion(registry: Registry, name: str) -> str | None:
    champion = registry.champion(name)
    return champion.bundle_sha256 if champion else None
