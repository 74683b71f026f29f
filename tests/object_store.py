"""A store like S3 on this machine, by moto, whose answers can be made to fail.

The real one cannot run here. moto looks and then writes without a lock, so writes are let through one at a time: S3
itself sees to it that only one can be the first.
"""

from __future__ import annotations

import logging
import random
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from models.artifacts.places import place_of

READ_TIMEOUT_S = 1.0
_ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}
_ERROR = b"<?xml version='1.0'?><Error><Code>%s</Code><Message>%s</Message></Error>"


class FaultyStore:
    """The server's application.

    Attributes:
        share: of the answers that fail.
        faults: how often each kind was made.
    """

    def __init__(self, inner: Callable[..., Iterable[bytes]]) -> None:
        self._inner, self._lock, self._rng = inner, threading.Lock(), random.Random(0)
        self.share = 0.0
        self.faults: Counter[str] = Counter()

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        """One request."""
        kind = self._drawn()
        if kind == "500":
            return _refusal(start, "500 Internal Server Error", b"InternalError")
        if kind == "throttled":
            return _refusal(start, "503 Slow Down", b"SlowDown")
        if kind == "stalled":
            time.sleep(2 * READ_TIMEOUT_S)
        answer = self._answer(environ, start if kind != "lost" else lambda *_: None)
        return _refusal(start, "500 Internal Server Error", b"InternalError") if kind == "lost" else answer

    def _answer(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] != "PUT":
            return self._inner(environ, start)
        with self._lock:
            return list(self._inner(environ, start))

    def _drawn(self) -> str:
        with self._lock:
            if self._rng.random() >= self.share:
                return ""
            kind = self._rng.choices(("500", "throttled", "lost", "stalled"), (4, 4, 4, 1))[0]
            self.faults[kind] += 1
            return kind


class Store:
    """A running server.

    Attributes:
        url: where it listens.
        faulty: what it answers with.
    """

    def __init__(self, url: str, faulty: FaultyStore) -> None:
        self.url, self.faulty = url, faulty

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to reach it."""
        return {**_ENVIRONMENT, "AWS_ENDPOINT_URL": self.url}

    def upload(self, folder: Path, address: str) -> Path:
        """The address, with the files of a folder below it."""
        place: Any = place_of(address)
        place.fs.makedirs(place.path.split("/")[0], exist_ok=True)
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            place.fs.pipe_file(f"{place.path}/{path.relative_to(folder)}", path.read_bytes())
        return Path(place) if isinstance(place, Path) else place


@contextmanager
def running_store() -> Iterator[Store]:
    """A store that ends with the block; its clients have to be made inside it."""
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    faulty = FaultyStore(DomainDispatcherApplication(create_backend_app))
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = make_server("127.0.0.1", 0, faulty, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        url = f"http://127.0.0.1:{server.server_port}"
        # What it holds belongs to the process: it would outlive the server.
        urllib.request.urlopen(urllib.request.Request(f"{url}/moto-api/reset", method="POST"), timeout=10).close()
        yield Store(url, faulty)
    finally:
        server.shutdown()
        thread.join()


def _refusal(start: Callable[..., Any], status: str, code: bytes) -> Iterable[bytes]:
    start(status, [("Content-Type", "application/xml")])
    return [_ERROR % (code, b"Reduce your request rate" if code == b"SlowDown" else b"made to fail")]
