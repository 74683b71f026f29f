"""The process in which odd pictures are decoded for scoring: `python -m models.data.picture_worker`."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Callable
from typing import Any

from models.data.decode import FileTimes, picture_of, read_file
from models.data.inspection import Request
from models.data.look import detail_of
from models.data.preprocess import Preprocess
from models.data.worker_loop import serve
from models.errors import UnreadableImage


def prepare(task: dict[str, Any], limits: Any, requests: list[Request], before_each: Callable[[], None]) -> list[Any]:
    """Status, reason, digest, size, look and pixels of each file."""
    preprocess = Preprocess.model_validate(task["preprocess"])
    found = []
    for request in requests:
        before_each()
        path = os.path.join(task["folder"], request.name)  # noqa: PTH118 - surrogates
        found.append(_prepared(path, request, limits, preprocess))
    return found


def _prepared(path: str, request: Request, limits: Any, preprocess: Preprocess) -> list[Any]:
    digest, size_bytes = None, None
    try:
        data = read_file(path, limits.max_bytes, FileTimes(request.size_bytes, request.mtime_ns))
        digest, size_bytes = hashlib.sha256(data).hexdigest(), len(data)
        picture = picture_of(data, limits.max_pixels, preprocess.draft_px)
        pixels = preprocess.apply(picture.rgb)
        text = base64.b64encode(pixels.tobytes()).decode("ascii")
    except UnreadableImage as error:
        return [error.status, error.reason, digest, size_bytes, None, None]
    except MemoryError:
        return ["too_large", "too_much_memory", digest, size_bytes, None, None]
    light = (picture.brightness, picture.contrast)
    return ["ok", None, digest, size_bytes, [*light, detail_of(pixels), picture.width_px, picture.height_px], text]


if __name__ == "__main__":
    serve(prepare)
