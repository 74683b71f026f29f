"""Server, worker and all deployments on this machine: what `sortline up` keeps alive until it is told to stop."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from models.artifacts.workspace import Workspace
from models.errors import MachineError
from models.interruption import stop_on_signal

_START_S, _STOP_S, _LOOK_S = 180.0, 20.0, 1.0
# A process that dies so often in a row has a reason that starting it again does not heal.
_DEATHS, _HEALTHY_S = 5, 60.0
Say = Callable[[str], None]


class Installation(NamedTuple):
    """Where everything of one machine's own server is.

    Attributes:
        host: that it listens on; the loopback unless others are to reach it.
        home: folder that runs start in.
    """

    workspace: Workspace
    home: Path
    host: str
    port: int
    pool: str

    @property
    def address(self) -> str:
        """Of the pages for people."""
        return f"http://{self.host}:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """What server, worker and runs are told; what the user has set for the server stays."""
        place = self.workspace.root / "server"
        own = {
            "PREFECT_HOME": str(place),
            "PREFECT_API_URL": f"{self.address}/api",
            "PREFECT_API_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{place / 'prefect.db'}",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
            "PREFECT_SERVER_CSRF_PROTECTION_ENABLED": "true",
            "PREFECT_CLIENT_CSRF_SUPPORT_ENABLED": "true",
            "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": self.address,
            "PREFECT_RESULTS_DEFAULT_SERIALIZER": "json",
            "PREFECT_LOCAL_STORAGE_PATH": str(self.workspace.cache_dir),
        }
        kept = {name: os.environ[name] for name in own if name in os.environ and name != "PREFECT_API_URL"}
        return {**os.environ, **own, **kept}


def keep_up(installation: Installation, deploy: Callable[[Mapping[str, str]], None], say: Say) -> None:
    """Starts server and worker, has the deployments written, and starts again what dies, until a signal comes.

    Args:
        installation: what is started, and where.
        deploy: writes the deployments to the server, in the environment that it is given.
        say: tells a person.

    Raises:
        MachineError: the server does not start, or a process dies again and again.
    """
    environment = installation.environment
    (installation.workspace.root / "server").mkdir(parents=True, exist_ok=True)
    address = ["--host", installation.host, "--port", str(installation.port)]
    server = _Kept("server", [sys.executable, "-m", "prefect", "server", "start", *address], installation, environment)
    worker = _Kept(
        "worker",
        [sys.executable, "-m", "prefect", "worker", "start", "--pool", installation.pool, "--type", "process"],
        installation,
        environment,
    )
    with stop_on_signal() as stop:
        try:
            server.start()
            _wait_for(installation, server)
            deploy(environment)
            worker.start()
            say(f"Sortline is up: {installation.address}")
            while not stop.is_made:
                for kept in (server, worker):
                    kept.look(say)
                time.sleep(_LOOK_S)
        except KeyboardInterrupt:
            say("Stopping.")
        finally:
            # The worker first: it tells the server what becomes of its runs.
            worker.stop()
            server.stop()
    say("Sortline is down; everything is kept in the workspace.")


class _Kept:
    """A process that is started again when it dies."""

    def __init__(
        self, name: str, command: list[str], installation: Installation, environment: Mapping[str, str]
    ) -> None:
        self._name, self._command, self._environment = name, command, environment
        self._home, self._log = installation.home, installation.workspace.root / "server" / f"{name}.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._deaths, self._began = 0, 0.0

    def start(self) -> None:
        """Begins it; what it says goes to a file."""
        self._began = time.monotonic()
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                stdout=log,
                stderr=log,
                env=dict(self._environment),
                cwd=self._home,
                start_new_session=True,
            )

    def look(self, say: Say) -> None:
        """Starts it again where it died.

        Raises:
            MachineError: it died again and again.
        """
        if self.is_alive:
            return
        lived_s = time.monotonic() - self._began
        self._deaths = 1 if lived_s > _HEALTHY_S else self._deaths + 1
        if self._deaths >= _DEATHS:
            raise MachineError(
                f"the {self._name} died {self._deaths} times in a row", "one that stays", f"Look into {self._log}."
            )
        say(f"The {self._name} died and is started again.")
        self.start()

    @property
    def is_alive(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def log(self) -> Path:
        """Where what it says goes."""
        return self._log

    def stop(self) -> None:
        """Ends it, politely first."""
        if self._process is None:
            return
        for number, seconds in ((signal.SIGTERM, _STOP_S), (signal.SIGKILL, _STOP_S)):
            if self.is_alive:
                os.killpg(self._process.pid, number)
                try:
                    self._process.wait(seconds)
                except subprocess.TimeoutExpired:
                    continue


def _wait_for(installation: Installation, server: _Kept) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and server.is_alive:
        try:
            with urllib.request.urlopen(f"{installation.address}/api/health", timeout=2):
                return
        except OSError:
            time.sleep(0.5)
    raise MachineError(
        f"the server does not answer at {installation.address}",
        f"an answer within {_START_S:.0f} s",
        f"Look into {server.log}; is the port taken? Choose another --port.",
    )
