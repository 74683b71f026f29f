"""`sortline up` in a folder of its own, and what tests ask its server."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

START_S, RUN_S = 240.0, 300.0
_ENDED = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}
FLOWS = {
    "train": "train-classifier",
    "score": "score-folder",
    "watch": "watch-folder",
    "approve": "approve-candidate",
    "drift": "measure-drift",
    "audit": "audit-folder",
    "housekeeping": "keep-house",
    "adapt": "adapt-site",
    "pretrain": "pretrain-network",
}


BUSY_TRIES = 30


class Site:
    """One installation.

    Attributes:
        home: folder with `labelled`, `inbox`, `predictions` and `workspace`.
    """

    def __init__(self, home: Path, **environment: str) -> None:
        self.home, self.workspace = home, home / "workspace"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self._environment = environment
        self._process: subprocess.Popen[str] | None = None
        self._headers = {"content-type": "application/json"}

    @property
    def address(self) -> str:
        """Of the pages."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Waits until it says that it is up."""
        command = [sys.executable, "-m", "deployments.command_line", "up", "--workspace", str(self.workspace)]
        command += ["--home", str(self.home), "--port", str(self.port)]
        root = str(Path(__file__).parents[2])
        environment = {**os.environ, "PYTHONPATH": root, **self._environment}
        environment.pop("PREFECT_API_URL", None)
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
        )
        assert self._process.stdout is not None
        said = []
        for line in self._process.stdout:
            said.append(line)
            if "is up" in line:
                return
        raise AssertionError("".join(said))

    def stop(self) -> str:
        """Stops it as systemd does; what it said last."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        said, _ = self._process.communicate(timeout=60)
        assert self._process.returncode == 0, said
        return said

    def log_in(self, credentials: str) -> None:
        """Sends user and password, as base64, with every question from here on."""
        self._headers["authorization"] = f"Basic {credentials}"

    def pids(self, what: str) -> list[int]:
        """Processes of this site whose command holds some words."""
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                environment = (entry / "environ").read_bytes()
            except OSError:
                continue
            if what in command and f":{self.port}/api".encode() in environment:
                found.append(int(entry.name))
        return found

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Status and answer of a request."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"{self.address}/api{path}", data=data, method=method, headers={**self._headers, **self._csrf(method)}
        )
        # A database that is being written to answers 503; Prefect's own clients ask again.
        for left in range(BUSY_TRIES, -1, -1):
            try:
                with urllib.request.urlopen(request, timeout=30) as answer:
                    text = answer.read()
                    return answer.status, json.loads(text) if text else None
            except urllib.error.HTTPError as error:
                if error.code != 503 or not left:
                    return error.code, error.read().decode()
                time.sleep(1)
        raise AssertionError("the last try has answered")

    def deployment(self, name: str) -> dict[str, Any]:
        """A deployment by its short name."""
        status, found = self.ask("GET", f"/deployments/name/{FLOWS[name]}/{name}")
        assert status == 200, found
        return dict(found)

    def set_parameters(self, name: str, parameters: Mapping[str, object]) -> None:
        """What somebody writes into the file for their own data."""
        found = self.deployment(name)
        changed = {**found["parameters"], **parameters}
        status, answer = self.ask("PATCH", f"/deployments/{found['id']}", {"parameters": changed})
        assert status in (200, 204), answer

    def run(self, name: str, parameters: Mapping[str, object] | None = None) -> str:
        """Identity of a new run, as the button of the form makes it."""
        status, answer = self.start_run(name, parameters)
        assert status == 201, answer
        return str(answer["id"])

    def start_run(self, name: str, parameters: Mapping[str, object] | None = None) -> tuple[int, Any]:
        """Status and answer of asking for a run."""
        found = self.deployment(name)
        body = {"parameters": {**found["parameters"], **(parameters or {})}, "state": {"type": "SCHEDULED"}}
        return self.ask("POST", f"/deployments/{found['id']}/create_flow_run", body)

    def retry(self, run_id: str) -> None:
        """What the button Retry does."""
        body = {
            "state": {"type": "SCHEDULED", "name": "AwaitingRetry", "message": "Retry from the page"},
            "force": True,
        }
        status, answer = self.ask("POST", f"/flow_runs/{run_id}/set_state", body)
        assert status == 201, answer

    def runs(self, name: str) -> list[dict[str, Any]]:
        """Runs of a deployment, oldest first."""
        wanted = {"deployments": {"id": {"any_": [self.deployment(name)["id"]]}}, "sort": "EXPECTED_START_TIME_ASC"}
        return list(self.ask("POST", "/flow_runs/filter", wanted)[1])

    def wait(self, run_id: str, *states: str, within_s: float = RUN_S) -> dict[str, Any]:
        """A run once it is in one of the states; by default, once it has ended well."""
        wanted, deadline = set(states or ("COMPLETED",)), time.monotonic() + within_s
        while time.monotonic() < deadline:
            status, run = self.ask("GET", f"/flow_runs/{run_id}")
            if status == 200 and run["state_type"] in wanted:
                return dict(run)
            if status == 200 and run["state_type"] in _ENDED:
                raise AssertionError(f"{run['name']} is {run['state']}\n{self.log(run_id)}")
            time.sleep(1)
        raise AssertionError(f"{run_id} is not {wanted}\n{self.log(run_id)}")

    def wait_for_runs(self, name: str, count: int, within_s: float = RUN_S) -> list[dict[str, Any]]:
        """Runs of a deployment once there are so many, and all have ended well."""
        deadline = time.monotonic() + within_s
        while len(self.runs(name)) < count:
            assert time.monotonic() < deadline, f"{len(self.runs(name))} runs of {name}, not {count}"
            time.sleep(1)
        return [self.wait(run["id"], within_s=within_s) for run in self.runs(name)]

    def log(self, run_id: str) -> str:
        """The last lines that a run has logged."""
        wanted = {"logs": {"flow_run_id": {"any_": [run_id]}}, "sort": "TIMESTAMP_ASC"}
        found = self.ask("POST", "/logs/filter", wanted)[1]
        lines = [entry["message"] for entry in found] if isinstance(found, list) else [str(found)]
        return "\n".join(lines[-30:])

    def artifacts(self, run_id: str) -> dict[str, Any]:
        """Artifacts of a run by their key."""
        wanted = {"artifacts": {"flow_run_id": {"any_": [run_id]}}}
        return {entry["key"]: entry for entry in self.ask("POST", "/artifacts/filter", wanted)[1]}

    def _csrf(self, method: str) -> dict[str, str]:
        if method == "GET":
            return {}
        asked = urllib.request.Request(f"{self.address}/api/csrf-token?client=tests", headers=self._headers)
        with urllib.request.urlopen(asked, timeout=30) as answer:
            token = json.loads(answer.read())["token"]
        return {"Prefect-Csrf-Token": token, "Prefect-Csrf-Client": "tests"}
