"""How Prefect runs inside this process: quiet, offline, patient with slow machines, data in the workspace."""

from __future__ import annotations

import os

from flows.temporary_server import leave_no_server
from models.artifacts.workspace import Workspace

_DEFAULTS = {
    # A first start on a slow machine takes longer than Prefect's 20 s.
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "PREFECT_RESULTS_DEFAULT_SERIALIZER": "json",
    # Errors come as one sentence; their traceback is kept for unexpected ones only.
    "PREFECT_LOGGING_LEVEL": "CRITICAL",
    "PREFECT_SERVER_LOGGING_LEVEL": "CRITICAL",
    "GX_ANALYTICS_ENABLED": "false",
    # Threads that wait by spinning take the cores from those that work, where others use the machine too.
    "OMP_WAIT_POLICY": "PASSIVE",
}


def prepare_prefect(workspace: Workspace) -> None:
    """Sets what Prefect reads when it is imported; what the user has set stays."""
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)
    os.environ.setdefault("PREFECT_HOME", str(workspace.prefect_dir))
    os.environ["PREFECT_LOCAL_STORAGE_PATH"] = str(workspace.cache_dir)
    if not has_server():
        leave_no_server()


def has_server() -> bool:
    """Whether the user points at a Prefect server."""
    return bool(os.environ.get("PREFECT_API_URL"))
