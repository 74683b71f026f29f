"""Prefect's server inside a command: it ends with the command, however that ends."""

from __future__ import annotations

import subprocess
from typing import Any

# Waits until its standard input is closed, which the system does for a process that is killed too.
_END_WITH_PARENT = 'cat >/dev/null; kill "$1" 2>/dev/null'


def leave_no_server() -> None:
    """Makes the temporary server that Prefect starts go when this process is gone.

    Prefect stops it at a normal exit only: after SIGKILL, or when memory runs out, 200 MB would stay for ever.
    """
    from prefect.server.api.server import SubprocessASGIServer as Server

    start = Server._run_uvicorn_command
    if getattr(start, "is_watched", False):
        return

    def start_watched(server: Server) -> subprocess.Popen[Any]:
        process = start(server)
        # The pipe's other end stays open in this process as long as it lives.
        server.watcher = subprocess.Popen(  # type: ignore[attr-defined]
            ["sh", "-c", _END_WITH_PARENT, "sh", str(process.pid)], stdin=subprocess.PIPE, start_new_session=True
        )
        return process

    start_watched.is_watched = True  # type: ignore[attr-defined]
    Server._run_uvicorn_command = start_watched  # type: ignore[method-assign, assignment]
