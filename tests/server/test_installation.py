"""A server with a password, a database of its own, and somebody who wants to be told."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from models.artifacts.workspace import Workspace
from models.serving.commit import OutputStore
from tests.pictures import write_inbox
from tests.server.site import Site

pytestmark = pytest.mark.server
POSTGRES = shutil.which("postgres")
_BIN = Path(POSTGRES).resolve().parent if POSTGRES else Path()
PASSWORD = "sortline:a-password-of-this-test"


@contextmanager
def _postgres(place: Path) -> Iterator[str]:
    """Address of a new database; its server ends with the block. It refuses to run as root."""
    data, socket_dir = place / "data", place / "socket"
    place.mkdir()
    socket_dir.mkdir()
    if os.getuid() == 0:
        subprocess.run(["chown", "-R", "postgres", str(place)], check=True)
        for parent in (place, *place.parents):
            if parent.is_relative_to("/tmp") and parent != Path("/tmp"):
                parent.chmod(parent.stat().st_mode | 0o011)
    user = ["su", "postgres", "-s", "/bin/sh", "-c"] if os.getuid() == 0 else ["/bin/sh", "-c"]
    port = Site(place).port

    def run(command: str) -> None:
        done = subprocess.run([*user, command], capture_output=True, text=True, check=False, cwd="/")
        assert done.returncode == 0, done.stdout + done.stderr

    run(f"{_BIN}/initdb -D {data} -U prefect --auth=trust")
    run(f"{_BIN}/pg_ctl -D {data} -w -l {place}/log -o '-p {port} -k {socket_dir} -c listen_addresses=127.0.0.1' start")
    try:
        run(f"{_BIN}/createdb -h 127.0.0.1 -p {port} -U prefect prefect")
        yield f"postgresql+asyncpg://prefect@127.0.0.1:{port}/prefect"
    finally:
        run(f"{_BIN}/pg_ctl -D {data} -m immediate stop")


@contextmanager
def _receiver() -> Iterator[tuple[str, list[dict[str, object]]]]:
    """Address of a receiver, and what it was sent."""
    received: list[dict[str, object]] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    server = HTTPServer(("127.0.0.1", 0), Receiver)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/told", received
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.skipif(POSTGRES is None, reason="needs Postgres: apt install postgresql")
def test_postgres_password_and_a_receiver_of_news(champion_workspace: Workspace, tmp_path: Path) -> None:
    home = tmp_path / "site"
    shutil.copytree(champion_workspace.root, home / "workspace")
    write_inbox(home / "inbox", 6, damaged=True)
    with _postgres(tmp_path / "postgres") as database, _receiver() as (receiver, received):
        site = Site(
            home,
            PREFECT_API_DATABASE_CONNECTION_URL=database,
            PREFECT_SERVER_API_AUTH_STRING=PASSWORD,
            PREFECT_API_AUTH_STRING=PASSWORD,
            SORTLINE_NOTIFY=receiver,
            SORTLINE_ROOTS=str(home),
        )
        site.start()
        try:
            with pytest.raises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(f"{site.address}/api/deployments/name/score-folder/score", timeout=30)
            assert refused.value.code == 401
            refused.value.close()
            site.log_in(base64.b64encode(PASSWORD.encode()).decode())
            settings = {"name": "shapes", "scoring": {"settle_seconds": 0, "max_bad_share": 1}}
            site.wait(site.run("score", settings))
            assert OutputStore(home / "predictions").read().num_rows == 12
            outside = site.run("score", {**settings, "folder": "/etc"})
            assert "outside of what this installation allows" in str(site.wait(outside, "FAILED")["state"]["message"])
            _wait_for(received, 2)
            assert {str(entry["event"]) for entry in received} == {"sortline.files.failed", "prefect.flow-run.Failed"}
            log = (site.workspace / "server" / "worker.log").read_text()
            assert "a-password-of-this-test" not in log
        finally:
            site.stop()
        assert not (site.workspace / "server" / "prefect.db").exists(), "all is in Postgres"


def _wait_for(received: list[dict[str, object]], count: int) -> None:
    waited = threading.Event()
    for _ in range(60):
        if len(received) >= count:
            return
        waited.wait(1)
    raise AssertionError(received)
